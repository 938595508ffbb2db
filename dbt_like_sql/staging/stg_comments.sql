-- Entities are resolved, the ampersand last: a typed "&lt;" reaches the dump as "&amp;lt;".
-- The order of the dump is kept; sorting a month of comments would only cost.
WITH cleaned AS (
    SELECT
        id,
        user_id,
        subreddit,
        link_id,
        parent_id,
        trim(
            replace(replace(replace(replace(body, '&gt;', '>'), '&lt;', '<'), '&amp;', '&'), chr(0), ''),
            chr(32) || chr(9) || chr(10) || chr(13)
        ) AS body,
        score,
        created_at
    FROM comments
    WHERE NOT is_bot AND NOT starts_with(lower(subreddit), 'u_')
)

SELECT id, user_id, subreddit, link_id, parent_id, body, score, created_at
FROM cleaned
WHERE body <> '' AND lower(body) NOT IN ('[deleted]', '[removed]')
