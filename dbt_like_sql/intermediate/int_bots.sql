SELECT
    user_id,
    string_agg(DISTINCT bot_reason, ', ' ORDER BY bot_reason) AS reasons,
    count(*) AS months,
    CAST(sum(events) AS BIGINT) AS events
FROM stg_accounts
WHERE is_bot
GROUP BY user_id
ORDER BY user_id
