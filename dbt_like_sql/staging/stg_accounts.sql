-- Who is automatic is judged by the month alone, so that a finished month never changes; the marts
-- leave an account out of all months once any month shows it (int_bots). Three signs besides the
-- list: more events a day than a person writes; the same words again and again; a clock's rhythm.
WITH events AS NOT MATERIALIZED (
    SELECT user_id, created_at, is_bot, 1 AS comment FROM comments
    UNION ALL
    SELECT user_id, created_at, is_bot, 0 AS comment FROM submissions
),

totals AS (
    SELECT
        user_id,
        count(*) AS events,
        CAST(sum(comment) AS BIGINT) AS comments,
        -- One bit a day of the month: counting distinct dates would hold them all.
        CAST(bit_count(bit_or(CAST(1 AS UINTEGER) << CAST(day(created_at) - 1 AS UINTEGER))) AS INTEGER)
        AS active_days,
        bool_or(is_bot) AS listed
    FROM events
    GROUP BY user_id
),

-- Few events show neither a habit nor a rhythm, and most accounts have few.
busy AS (
    SELECT user_id FROM totals WHERE events >= getvariable('bot_min_events')
),

-- Everybody says "thanks" often: short texts do not count.
texts AS (
    SELECT comments.user_id, hash(comments.body) AS text, count(*) AS copies
    FROM comments
    SEMI JOIN busy ON busy.user_id = comments.user_id
    GROUP BY comments.user_id, hash(comments.body)
    HAVING min(length(comments.body)) >= getvariable('bot_text_chars')
),

repetition AS (
    SELECT
        user_id,
        CAST(sum(copies) AS BIGINT) AS long_texts,
        coalesce(sum(copies) FILTER (WHERE copies > 1), 0) / sum(copies) AS repeated_share
    FROM texts
    GROUP BY user_id
),

gaps AS (
    SELECT
        events.user_id,
        epoch_ms(events.created_at) // 1000 - lag(epoch_ms(events.created_at) // 1000) OVER (
            PARTITION BY events.user_id ORDER BY events.created_at
        ) AS gap
    FROM events
    SEMI JOIN busy ON busy.user_id = events.user_id
),

-- Variation of the gaps: standard deviation over mean, from exact sums of whole seconds. Messages
-- at random moments have 1, people (who write in bursts and sleep) more, a clock near 0.
rhythm AS (
    SELECT
        user_id,
        sqrt(
            greatest(
                0,
                CAST(count(gap) AS DOUBLE) * CAST(sum(CAST(gap AS HUGEINT) * gap) AS DOUBLE)
                / pow(CAST(sum(gap) AS DOUBLE), 2) - 1
            )
        ) AS gap_variation
    FROM gaps
    GROUP BY user_id
    HAVING sum(gap) > 0
),

signs AS (
    SELECT
        totals.user_id,
        totals.events,
        totals.comments,
        totals.active_days,
        repetition.repeated_share,
        rhythm.gap_variation,
        CASE
            WHEN totals.listed THEN 'listed'
            WHEN
                totals.events >= getvariable('bot_min_events')
                AND totals.events / totals.active_days >= getvariable('bot_events_per_day')
                THEN 'rate'
            WHEN
                repetition.long_texts >= getvariable('bot_min_events')
                AND repetition.repeated_share >= getvariable('bot_repeated_share')
                THEN 'repetition'
            WHEN rhythm.gap_variation <= getvariable('bot_gap_variation') THEN 'rhythm'
        END AS bot_reason
    FROM totals
    LEFT JOIN repetition ON repetition.user_id = totals.user_id
    LEFT JOIN rhythm ON rhythm.user_id = totals.user_id
)

SELECT
    user_id,
    events,
    comments,
    active_days,
    repeated_share,
    gap_variation,
    bot_reason IS NOT NULL AS is_bot,
    bot_reason
FROM signs
ORDER BY user_id
