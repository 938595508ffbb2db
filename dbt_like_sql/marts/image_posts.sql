WITH held_out AS (
    SELECT
        user_id,
        lower(title) AS prompt,
        list_distinct(regexp_extract_all(lower(title), '[a-z0-9]+')) AS words
    FROM benchmark_holdout
),

-- Other posts of a benchmark user that give a held-out prompt away; see benchmark_holdout.
echoes AS (
    SELECT DISTINCT posts.post_id
    FROM int_image_posts AS posts
    INNER JOIN held_out ON held_out.user_id = posts.user_id
    WHERE
        lower(posts.title) = held_out.prompt
        OR CAST(
            2 * len(
                list_intersect(
                    list_distinct(regexp_extract_all(lower(posts.title), '[a-z0-9]+')), held_out.words
                )
            ) AS DOUBLE
        )
        / greatest(
            1,
            len(list_distinct(regexp_extract_all(lower(posts.title), '[a-z0-9]+')))
            + len(held_out.words)
        ) >= getvariable('leak_token_f1')
)

SELECT
    posts.post_id,
    posts.user_id,
    posts.subreddit,
    posts.title,
    posts.score,
    posts.over_18,
    posts.created_at,
    posts.sha256,
    posts.dhash
FROM int_image_posts AS posts
ANTI JOIN benchmark_holdout AS by_id ON by_id.post_id = posts.post_id
-- Whoever posted it: a held-out picture is nobody's training data.
ANTI JOIN benchmark_holdout AS by_picture ON by_picture.sha256 = posts.sha256
ANTI JOIN echoes ON echoes.post_id = posts.post_id
ANTI JOIN int_bots ON int_bots.user_id = posts.user_id
-- A post can be in the dumps of two months.
QUALIFY row_number() OVER (PARTITION BY posts.post_id ORDER BY posts.created_at, posts.subreddit) = 1
ORDER BY posts.post_id
