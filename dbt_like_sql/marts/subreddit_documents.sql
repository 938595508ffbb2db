-- Samples are the texts with the smallest hashes of their ids: the same ones on every run, and a
-- new month replaces only a few of them; those of all months are among those of each month. Held-out
-- prompts stay out, whichever way a benchmark user repeats them, and so do the comments below a
-- held-out post.
WITH held_out AS (
    SELECT
        user_id,
        't3_' || post_id AS link_id,
        lower(title) AS prompt,
        list_distinct(regexp_extract_all(lower(title), '[a-z0-9]+')) AS words
    FROM benchmark_holdout
),

texts AS (
    SELECT snippets.id, snippets.user_id, snippets.subreddit, snippets.text, snippets.is_title
    FROM int_snippets_monthly AS snippets
    ANTI JOIN held_out ON held_out.link_id = snippets.link_id
    ANTI JOIN int_bots ON int_bots.user_id = snippets.user_id
    UNION ALL
    SELECT
        post_id AS id,
        user_id,
        subreddit,
        left(title, getvariable('snippet_chars')) AS text,
        true AS is_title
    FROM image_posts
),

echoes AS (
    SELECT DISTINCT texts.id, texts.is_title
    FROM texts
    INNER JOIN held_out ON held_out.user_id = texts.user_id
    WHERE
        lower(texts.text) = held_out.prompt
        OR CAST(
            2 * len(
                list_intersect(
                    list_distinct(regexp_extract_all(lower(texts.text), '[a-z0-9]+')), held_out.words
                )
            ) AS DOUBLE
        )
        / greatest(
            1,
            len(list_distinct(regexp_extract_all(lower(texts.text), '[a-z0-9]+')))
            + len(held_out.words)
        ) >= getvariable('leak_token_f1')
),

-- Only so many texts of a community are held at a time, however large it is.
samples AS (
    SELECT
        texts.subreddit,
        arg_min(texts.text, hash(texts.id), getvariable('document_titles'))
        FILTER (WHERE texts.is_title) AS titles,
        arg_min(texts.text, hash(texts.id), getvariable('document_comments'))
        FILTER (WHERE NOT texts.is_title) AS bodies
    FROM texts
    ANTI JOIN echoes ON echoes.id = texts.id AND echoes.is_title = texts.is_title
    GROUP BY texts.subreddit
)

SELECT
    subreddit,
    left(
        concat_ws(
            chr(10), subreddit, array_to_string(titles, chr(10)), array_to_string(bodies, chr(10))
        ),
        getvariable('document_chars')
    ) AS document
FROM samples
ORDER BY subreddit
