-- Entities are resolved, the ampersand last: a typed "&lt;" reaches the dump as "&amp;lt;".
-- The order of the dump is kept; sorting a month of comments would only cost.
WITH cleaned AS (
    SELECT
        comments.id,
        comments.user_id,
        comments.subreddit,
        comments.link_id,
        comments.parent_id,
        -- Most texts need no cleaning: looking is several times faster than replacing. What sorts before
        -- '!' begins with a blank or a control character. The last character would have to be counted
        -- off in UTF-8, the last byte not.
        CASE
            WHEN
                contains(comments.body, '&') OR contains(comments.body, chr(0)) OR comments.body < '!'
                OR ends_with(comments.body, ' ') OR ends_with(comments.body, chr(9))
                OR ends_with(comments.body, chr(10)) OR ends_with(comments.body, chr(13))
                THEN trim(
                    replace(
                        replace(
                            replace(replace(comments.body, '&gt;', '>'), '&lt;', '<'), '&amp;', '&'
                        ),
                        chr(0),
                        ''
                    ),
                    chr(32) || chr(9) || chr(10) || chr(13)
                )
            ELSE comments.body
        END AS body,
        comments.score,
        comments.created_at
    FROM comments
    ANTI JOIN (SELECT user_id FROM stg_accounts WHERE is_bot) AS bots
        ON bots.user_id = comments.user_id
    WHERE
        left(comments.subreddit, 2) NOT IN ('u_', 'U_')
        -- A record belongs to the month in which it was written. A copy in the dump of another
        -- month would count twice, and no month could know of it. Without a month: all are kept.
        AND coalesce(
            comments.created_at >= CAST(getvariable('month') || '-01' AS TIMESTAMP)
            AND comments.created_at
            < CAST(getvariable('month') || '-01' AS TIMESTAMP) + INTERVAL 1 MONTH,
            true
        )
)

SELECT id, user_id, subreddit, link_id, parent_id, body, score, created_at
FROM cleaned
-- One look at the cleaned text: DuckDB would clean it again for each mention.
WHERE NOT regexp_full_match(body, '(\[(deleted|removed)\])?', 'i')
