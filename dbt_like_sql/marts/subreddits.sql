WITH totals AS (
    SELECT
        subreddit,
        count(user_id) AS users,
        CAST(sum(comments) AS BIGINT) AS comments,
        CAST(sum(posts) AS BIGINT) AS posts
    FROM interactions
    GROUP BY subreddit
),

-- The same posts that `interactions` counts: no image post that is held out.
visible_posts AS (
    SELECT subreddit, over_18, CAST(NULL AS VARCHAR) AS image_post_id FROM stg_submissions WHERE NOT is_image
    UNION ALL
    SELECT subreddit, over_18, post_id AS image_post_id FROM image_posts
),

post_totals AS (
    SELECT
        subreddit,
        count(image_post_id) AS image_posts,
        count(*) FILTER (WHERE over_18) / count(*) AS over_18_share
    FROM visible_posts
    GROUP BY subreddit
)

SELECT
    totals.subreddit,
    totals.users,
    totals.comments,
    totals.posts,
    coalesce(post_totals.image_posts, 0) AS image_posts,
    coalesce(post_totals.over_18_share, 0) AS over_18_share,
    list_contains(getvariable('sensitive_communities'), lower(totals.subreddit)) AS sensitive
FROM totals
LEFT JOIN post_totals ON post_totals.subreddit = totals.subreddit
ORDER BY totals.subreddit
