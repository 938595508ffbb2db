WITH parts AS (
    SELECT user_id, subreddit, posts, comments, score_log, first_at, last_at
    FROM int_activity_monthly
    UNION ALL
    SELECT
        user_id,
        subreddit,
        1 AS posts,
        0 AS comments,
        sign(coalesce(score, 0)) * ln(1 + abs(CAST(coalesce(score, 0) AS DOUBLE))) AS score_log,
        created_at AS first_at,
        created_at AS last_at
    FROM image_posts
),

totals AS (
    SELECT
        parts.user_id,
        parts.subreddit,
        CAST(sum(parts.posts) AS BIGINT) AS posts,
        CAST(sum(parts.comments) AS BIGINT) AS comments,
        -- Exact decimals: the sum does not depend on the order of threads.
        CAST(sum(CAST(parts.score_log AS DECIMAL(18, 6))) AS DOUBLE) AS score_log,
        min(parts.first_at) AS first_at,
        max(parts.last_at) AS last_at
    FROM parts
    ANTI JOIN int_bots ON int_bots.user_id = parts.user_id
    GROUP BY parts.user_id, parts.subreddit
)

SELECT
    totals.user_id,
    totals.subreddit,
    totals.posts,
    totals.comments,
    totals.score_log,
    totals.first_at,
    totals.last_at,
    pow(
        CAST(0.5 AS DOUBLE),
        date_diff('second', totals.last_at, int_newest_event.newest_at)
        / CAST(86400 * getvariable('half_life_days') AS DOUBLE)
    ) AS recency
FROM totals
CROSS JOIN int_newest_event
ORDER BY totals.user_id, totals.subreddit
