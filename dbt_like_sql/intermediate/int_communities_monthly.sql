-- Image posts are added by the mart, from those that are not held out; see int_activity_monthly.
SELECT
    subreddit,
    count(*) AS posts,
    count(*) FILTER (WHERE over_18) AS over_18_posts
FROM stg_submissions
WHERE NOT is_image
GROUP BY subreddit
ORDER BY subreddit
