-- A fixed random sample: the texts with the smallest hashes of their ids. First only ids are
-- chosen, so that no more than so many of a community are held at a time, however large it is.
WITH texts AS NOT MATERIALIZED (
    SELECT id, user_id, subreddit, link_id, false AS is_title, body AS text FROM stg_comments
    UNION ALL
    SELECT id, user_id, subreddit, 't3_' || id AS link_id, true AS is_title, title AS text
    FROM stg_submissions
    WHERE NOT is_image
),

samples AS (
    SELECT
        arg_min(id, hash(id), getvariable('document_titles')) FILTER (WHERE is_title) AS titles,
        arg_min(id, hash(id), getvariable('document_comments')) FILTER (WHERE NOT is_title) AS bodies
    FROM texts
    GROUP BY subreddit
),

chosen AS (
    SELECT unnest(titles) AS id, true AS is_title FROM samples
    UNION ALL
    SELECT unnest(bodies) AS id, false AS is_title FROM samples
)

SELECT
    texts.id,
    texts.user_id,
    texts.subreddit,
    texts.link_id,
    texts.is_title,
    left(texts.text, getvariable('snippet_chars')) AS text
FROM texts
SEMI JOIN chosen ON chosen.id = texts.id AND chosen.is_title = texts.is_title
ORDER BY texts.subreddit, texts.is_title, texts.id
