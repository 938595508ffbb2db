WITH totals AS (
    SELECT
        subreddit,
        count(user_id) AS users,
        CAST(sum(comments) AS BIGINT) AS comments,
        CAST(sum(posts) AS BIGINT) AS posts
    FROM interactions
    GROUP BY subreddit
),

-- The posts of `int_communities_monthly`, and the image posts that are not held out.
post_parts AS (
    SELECT subreddit, posts, over_18_posts, 0 AS image_posts FROM int_communities_monthly
    UNION ALL
    SELECT
        subreddit,
        count(*) AS posts,
        count(*) FILTER (WHERE over_18) AS over_18_posts,
        count(*) AS image_posts
    FROM image_posts
    GROUP BY subreddit
),

post_totals AS (
    SELECT
        subreddit,
        CAST(sum(image_posts) AS BIGINT) AS image_posts,
        sum(over_18_posts) / sum(posts) AS over_18_share
    FROM post_parts
    GROUP BY subreddit
),

described AS (
    SELECT
        totals.subreddit,
        totals.users,
        totals.comments,
        totals.posts,
        coalesce(post_totals.image_posts, 0) AS image_posts,
        coalesce(post_totals.over_18_share, 0) AS over_18_share,
        getvariable('sensitive_communities')[lower(totals.subreddit)] AS category
    FROM totals
    LEFT JOIN post_totals ON post_totals.subreddit = totals.subreddit
)

SELECT
    subreddit,
    users,
    comments,
    posts,
    image_posts,
    over_18_share,
    -- By its posts, or by the list: a community of comments only has no share.
    over_18_share >= getvariable('over_18_share') OR coalesce(category = 'adult', false) AS over_18,
    category IS NOT NULL AS sensitive,
    category AS sensitive_category
FROM described
ORDER BY subreddit
