-- Entities are resolved as in stg_comments; the order of the dump is kept.
WITH cleaned AS (
    SELECT
        id,
        user_id,
        subreddit,
        trim(
            replace(replace(replace(replace(title, '&gt;', '>'), '&lt;', '<'), '&amp;', '&'), chr(0), ''),
            chr(32) || chr(9) || chr(10) || chr(13)
        ) AS title,
        trim(
            replace(replace(replace(replace(selftext, '&gt;', '>'), '&lt;', '<'), '&amp;', '&'), chr(0), ''),
            chr(32) || chr(9) || chr(10) || chr(13)
        ) AS selftext,
        url,
        domain,
        media_key,
        score,
        num_comments,
        over_18,
        is_image,
        created_at
    FROM submissions
    WHERE NOT is_bot AND NOT starts_with(lower(subreddit), 'u_')
)

SELECT
    id, user_id, subreddit, title, selftext, url, domain, media_key, score, num_comments, over_18,
    is_image, created_at
FROM cleaned
WHERE title <> ''
