-- Image posts are left out on purpose: the hold-out takes some of them away later, and must not
-- change a month that is already aggregated. The mart `interactions` adds the ones that remain.
WITH events AS (
    SELECT
        user_id, subreddit, CAST(NULL AS TIMESTAMP) AS posted_at, created_at AS commented_at, score,
        created_at
    FROM stg_comments
    UNION ALL
    SELECT
        user_id, subreddit, created_at AS posted_at, CAST(NULL AS TIMESTAMP) AS commented_at, score,
        created_at
    FROM stg_submissions
    WHERE NOT is_image
)

SELECT
    user_id,
    subreddit,
    count(posted_at) AS posts,
    count(commented_at) AS comments,
    -- Sums of decimals do not depend on the order in which threads add them; sums of doubles do.
    CAST(
        sum(
            CAST(
                sign(coalesce(score, 0)) * ln(1 + abs(CAST(coalesce(score, 0) AS DOUBLE)))
                AS DECIMAL(18, 6)
            )
        ) AS DOUBLE
    ) AS score_log,
    min(created_at) AS first_at,
    max(created_at) AS last_at
FROM events
GROUP BY user_id, subreddit
-- In ranges of users for what reads it; among a user's rows any fixed order will do, and one of numbers
-- is cheaper than one of names.
ORDER BY user_id, hash(subreddit)
