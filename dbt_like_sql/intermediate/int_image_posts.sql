SELECT
    posts.id AS post_id,
    posts.user_id,
    posts.subreddit,
    posts.title,
    posts.score,
    posts.over_18,
    posts.created_at,
    media.sha256,
    media.dhash
FROM stg_submissions AS posts
LEFT JOIN media ON media.post_id = posts.id
WHERE posts.is_image
ORDER BY posts.id
