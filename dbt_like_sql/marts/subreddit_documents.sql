-- Samples are the texts with the smallest hashes of their ids: the same ones on every run, and a
-- new month replaces only a few of them; those of all months are among those of each month. Held-out
-- prompts stay out, whichever way a benchmark user repeats them, and so do the comments below a
-- held-out post.
WITH held_out AS MATERIALIZED (
    SELECT
        user_id,
        't3_' || post_id AS link_id,
        lower(title) AS prompt,
        list_distinct(regexp_extract_all(lower(title), '[a-z0-9]+')) AS words
    FROM benchmark_holdout
),

-- Read twice rather than kept: at the paper's size these are 81 million texts.
texts AS NOT MATERIALIZED (
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

echoes AS MATERIALIZED (
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

-- First only ids are chosen: a text that is replaced by one of a smaller hash would stay in memory.
samples AS (
    SELECT
        arg_min(texts.id, hash(texts.id), getvariable('document_titles'))
        FILTER (WHERE texts.is_title) AS titles,
        arg_min(texts.id, hash(texts.id), getvariable('document_comments'))
        FILTER (WHERE NOT texts.is_title) AS bodies
    FROM texts
    ANTI JOIN echoes ON echoes.id = texts.id AND echoes.is_title = texts.is_title
    GROUP BY texts.subreddit
),

chosen AS (
    SELECT unnest(titles) AS id, true AS is_title FROM samples
    UNION ALL
    SELECT unnest(bodies) AS id, false AS is_title FROM samples
),

documents AS (
    SELECT
        texts.subreddit,
        array_agg(texts.text ORDER BY hash(texts.id)) FILTER (WHERE texts.is_title) AS titles,
        array_agg(texts.text ORDER BY hash(texts.id)) FILTER (WHERE NOT texts.is_title) AS bodies
    FROM texts
    SEMI JOIN chosen ON chosen.id = texts.id AND chosen.is_title = texts.is_title
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
FROM documents
ORDER BY subreddit
