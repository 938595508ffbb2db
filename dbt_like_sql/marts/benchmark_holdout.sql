-- Two titles are the same prompt when the F1 of their sets of words is high: 2 |A and B| over
-- |A| + |B|, with words = distinct runs of [a-z0-9] in the lower-case title. The same rule, with
-- the same words, takes such titles out of `image_posts`.
WITH active AS (
    SELECT user_id
    FROM int_activity_monthly
    GROUP BY user_id
    HAVING sum(comments) >= getvariable('min_comments')
),

-- Whoever has too few image posts at all is left out first: that is nearly everybody, and words
-- are compared below.
candidates AS (
    SELECT posts.user_id
    FROM int_image_posts AS posts
    SEMI JOIN active ON active.user_id = posts.user_id
    ANTI JOIN int_bots ON int_bots.user_id = posts.user_id
    GROUP BY posts.user_id
    HAVING count(*) >= getvariable('holdout_posts') + getvariable('min_history_posts')
),

pictures AS (
    SELECT
        posts.post_id,
        posts.user_id,
        posts.subreddit,
        posts.title,
        posts.over_18,
        posts.created_at,
        posts.sha256,
        lower(posts.title) AS prompt,
        list_distinct(regexp_extract_all(lower(posts.title), '[a-z0-9]+')) AS words
    FROM int_image_posts AS posts
    SEMI JOIN candidates ON candidates.user_id = posts.user_id
    -- A post can be in the dumps of two months.
    QUALIFY row_number() OVER (PARTITION BY posts.post_id ORDER BY posts.created_at, posts.subreddit) = 1
),

-- With media, a post whose image was lost is no test case: there is nothing to compare with.
-- Without any media the benchmark still has prompts.
usable AS (
    SELECT post_id, user_id, subreddit, title, created_at, sha256, prompt, words
    FROM pictures
    WHERE
        NOT over_18
        AND len(words) > 0
        AND (sha256 IS NOT NULL OR (SELECT count(sha256) FROM int_image_posts) = 0)
),

-- One picture posted to three communities is one case, not three.
distinct_prompts AS (
    SELECT post_id, user_id, subreddit, title, created_at, sha256, prompt, words
    FROM usable
    QUALIFY row_number() OVER (PARTITION BY user_id, prompt ORDER BY created_at DESC, post_id DESC) = 1
),

distinct_pictures AS (
    SELECT post_id, user_id, subreddit, title, created_at, sha256, prompt, words
    FROM distinct_prompts
    QUALIFY row_number() OVER (
        PARTITION BY user_id, coalesce(sha256, post_id) ORDER BY created_at DESC, post_id DESC
    ) = 1
),

latest AS (
    SELECT
        post_id,
        user_id,
        subreddit,
        title,
        created_at,
        sha256,
        prompt,
        words,
        row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, post_id DESC) AS position
    FROM distinct_pictures
    QUALIFY position <= getvariable('holdout_posts')
),

complete AS (
    SELECT user_id
    FROM latest
    GROUP BY user_id
    HAVING count(*) = getvariable('holdout_posts')
),

-- Posts that the hold-out takes along: themselves, the same picture, the same prompt.
taken AS (
    SELECT DISTINCT pictures.post_id
    FROM pictures
    INNER JOIN latest ON latest.user_id = pictures.user_id
    WHERE
        pictures.post_id = latest.post_id
        OR pictures.sha256 = latest.sha256
        OR pictures.prompt = latest.prompt
        OR CAST(2 * len(list_intersect(pictures.words, latest.words)) AS DOUBLE)
        / greatest(1, len(pictures.words) + len(latest.words)) >= getvariable('leak_token_f1')
),

histories AS (
    SELECT pictures.user_id, count(*) AS remaining
    FROM pictures
    ANTI JOIN taken ON taken.post_id = pictures.post_id
    GROUP BY pictures.user_id
),

selected AS (
    SELECT
        complete.user_id,
        -- The benchmark's people come first: how many there are for development changes none of them.
        CASE
            WHEN
                row_number() OVER (
                    ORDER BY hash(complete.user_id, getvariable('seed')), complete.user_id
                ) <= getvariable('benchmark_users')
                THEN 'benchmark'
            ELSE 'development'
        END AS split
    FROM complete
    LEFT JOIN histories ON histories.user_id = complete.user_id
    WHERE coalesce(histories.remaining, 0) >= getvariable('min_history_posts')
    QUALIFY row_number() OVER (
        ORDER BY hash(complete.user_id, getvariable('seed')), complete.user_id
    ) <= getvariable('benchmark_users') + getvariable('development_users')
)

SELECT
    latest.user_id,
    latest.post_id,
    latest.subreddit,
    latest.title,
    latest.created_at,
    latest.sha256,
    CAST(latest.position AS INTEGER) AS position,
    selected.split
FROM latest
INNER JOIN selected ON selected.user_id = latest.user_id
ORDER BY latest.user_id, latest.position
