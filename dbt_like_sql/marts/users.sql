WITH pictures AS (
    SELECT user_id, count(post_id) AS image_posts FROM image_posts GROUP BY user_id
),

totals AS (
    SELECT
        user_id,
        CAST(sum(comments) AS BIGINT) AS comments,
        CAST(sum(posts) AS BIGINT) AS posts,
        count(subreddit) AS communities,
        min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM interactions
    GROUP BY user_id
)

SELECT
    totals.user_id,
    totals.comments,
    totals.posts,
    coalesce(pictures.image_posts, 0) AS image_posts,
    totals.communities,
    totals.first_at,
    totals.last_at
FROM totals
LEFT JOIN pictures ON pictures.user_id = totals.user_id
ORDER BY totals.user_id
