WITH moments AS (
    SELECT user_id, last_at AS moment FROM int_activity_monthly
    UNION ALL
    SELECT user_id, created_at AS moment FROM image_posts
)

SELECT max(moments.moment) AS newest_at
FROM moments
ANTI JOIN int_bots ON int_bots.user_id = moments.user_id
HAVING count(*) > 0
