-- The label clock: what was known when, how the truth arrives, and what figures were worth at each age of their labels.

-- Every label and reward as it became known, for `labels` and `rewards` keep the newest of each decision alone. What
-- was corrected before these tables were there is not among them.
CREATE TABLE IF NOT EXISTS label_history
(
    tenant LowCardinality(String),
    model LowCardinality(String),
    event_id String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    matured DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    label Bool,
    score Float64,
    probability Float64,
    version UInt32,
    features LowCardinality(String),
    source LowCardinality(String),
    weight Float64,
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, model, event_id, matured, label)
TTL inserted_at + INTERVAL 25 MONTH;

CREATE MATERIALIZED VIEW IF NOT EXISTS to_label_history TO label_history AS
SELECT tenant, model, event_id, at, matured, label, score, probability, version, features, source, weight FROM labels;

CREATE TABLE IF NOT EXISTS reward_history
(
    tenant LowCardinality(String),
    model LowCardinality(String),
    event_id String CODEC(ZSTD(1)),
    offer String,
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    matured DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    label Bool,
    reward Float64,
    score Float64,
    version UInt32,
    features LowCardinality(String),
    propensity Float64,
    weight Float64,
    decision String CODEC(ZSTD(1)),
    position UInt8,
    policy LowCardinality(String),
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, model, event_id, offer, matured)
TTL inserted_at + INTERVAL 25 MONTH;

CREATE MATERIALIZED VIEW IF NOT EXISTS to_reward_history TO reward_history AS
SELECT
    tenant, model, event_id, offer, at, matured, label, reward, score, version, features, propensity, weight, decision, position, policy
FROM rewards;

CREATE OR REPLACE VIEW v_label_history AS
SELECT DISTINCT at AS event_time, matured AS matured_at, * EXCEPT (at, matured)
FROM
(
    SELECT * EXCEPT inserted_at FROM label_history
    UNION ALL
    SELECT tenant, model, event_id, at, matured, label, score, probability, version, features, source, weight FROM labels
);

CREATE OR REPLACE VIEW v_reward_history AS
SELECT DISTINCT at AS event_time, matured AS matured_at, * EXCEPT (at, matured)
FROM
(
    SELECT * EXCEPT inserted_at FROM reward_history
    UNION ALL
    SELECT
        tenant, model, event_id, offer, at, matured, label, reward, score, version, features, propensity, weight, decision, position, policy
    FROM rewards
);

-- How the truth arrives: of the payments that were scored at least so many days before the newest event, the share that
-- was known as fraud by then. Each age looks at its own payments, so young ones do not make labels look quick.
-- `completeness` is that share over the one at the greatest age, which is taken for all there is to know.
CREATE OR REPLACE VIEW label_arrival AS
WITH
    (SELECT max(event_time) FROM v_scores) AS newest,
    firsts AS
    (
        SELECT tenant, model, event_id, min(matured_at) AS told_at FROM v_label_history WHERE label GROUP BY ALL
    ),
    payments AS
    (
        SELECT tenant, model, intDiv(dateDiff('second', s.event_time, newest), 86400) AS age, if(f.event_id = '', 1e9, dateDiff('second', s.event_time, f.told_at) / 86400) AS delay
        FROM v_scores AS s
        LEFT JOIN firsts AS f ON f.tenant = s.tenant AND f.model = s.model AND f.event_id = s.event_id
    )
SELECT
    tenant,
    model,
    age_days,
    count() AS payments,
    countIf(delay <= age_days) AS frauds,
    frauds / payments AS rate,
    rate / nullIf(argMax(rate, age_days) OVER (PARTITION BY tenant, model), 0) AS completeness
FROM payments
ARRAY JOIN range(toUInt32(least(age, 90) + 1)) AS age_days
GROUP BY tenant, model, age_days;

-- Of the payments of a day, how many are known as fraud, with the interval of Wilson (95 %). Frauds are told before
-- silence means genuine, so the share of frauds among what is known would be far too high on the newest days.
-- `when_complete` is the rate over the completeness that label_arrival gives for the age of the day.
CREATE OR REPLACE VIEW label_rate_by_day AS
WITH
    (SELECT max(event_time) FROM v_scores) AS newest,
    days AS
    (
        SELECT
            s.tenant AS tenant,
            s.model AS model,
            toDate(s.event_time) AS day,
            toUInt32(greatest(least(intDiv(dateDiff('second', toDateTime(day + 1, 'UTC'), newest), 86400), 90), 0)) AS age_days,
            count() AS payments,
            countIf(l.event_id != '') AS known,
            countIf(l.label) AS frauds
        FROM v_scores AS s
        LEFT JOIN v_labels AS l ON l.tenant = s.tenant AND l.model = s.model AND l.event_id = s.event_id
        GROUP BY tenant, model, day
    ),
    1.96 AS z,
    z * sqrt(rate * (1 - rate) / d.payments + z * z / (4 * d.payments * d.payments)) AS half
SELECT
    d.tenant AS tenant,
    d.model AS model,
    d.day AS day,
    d.payments AS payments,
    d.known AS known,
    d.frauds AS frauds,
    d.frauds / d.payments AS rate,
    greatest(rate + z * z / (2 * d.payments) - half, 0) / (1 + z * z / d.payments) AS low,
    (rate + z * z / (2 * d.payments) + half) / (1 + z * z / d.payments) AS high,
    rate / nullIf(a.completeness, 0) AS when_complete
FROM days AS d
LEFT JOIN label_arrival AS a ON a.tenant = d.tenant AND a.model = d.model AND a.age_days = d.age_days;

-- Of the shown offers whose time is over, how many were redeemed, with the interval of Wilson (95 %), and what they
-- earned in the mean.
CREATE OR REPLACE VIEW reward_rate_by_day AS
WITH
    1.96 AS z,
    z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) AS half
SELECT
    tenant,
    model,
    toDate(event_time) AS day,
    count() AS n,
    countIf(label) AS redeemed,
    redeemed / n AS rate,
    greatest(rate + z * z / (2 * n) - half, 0) / (1 + z * z / n) AS low,
    (rate + z * z / (2 * n) + half) / (1 + z * z / n) AS high,
    avg(reward) AS mean_reward
FROM v_rewards
GROUP BY tenant, model, day;

-- As model_quality of a fraud model: per version, over all rewards and by how long each took to be known. As in
-- ranker_quality_by_day, ranks are judged by labels, and levels by rewards.
CREATE OR REPLACE VIEW ranker_metrics AS
WITH
    least(greatest(score, 1e-15), 1 - 1e-15) AS p,
    arrayReverseSort(groupArray((score, event_id, label))) AS ranked
SELECT
    tenant,
    model,
    version,
    label_age,
    count() AS n,
    countIf(label) AS redeemed,
    if(redeemed IN (0, n), NULL, arrayROCAUC(ranked.1, ranked.3)) AS auc,
    if(redeemed IN (0, n), NULL, arrayAUCPR(ranked.1, ranked.3)) AS average_precision,
    avg(-reward * log(p) - (1 - reward) * log(1 - p)) AS log_loss,
    avg(score) AS expected,
    avg(reward) AS observed
FROM v_rewards
ARRAY JOIN [
    'all',
    multiIf(
        matured_at < event_time + INTERVAL 1 DAY, 'under 1 day',
        matured_at < event_time + INTERVAL 7 DAY, '1 to 7 days',
        matured_at < event_time + INTERVAL 30 DAY, '7 to 30 days',
        '30 days and more')] AS label_age
WHERE version > 0
GROUP BY tenant, model, version, label_age;

-- The label clock: what was known of a day's decisions, and how good their scores looked by it, so many days after each.
-- Ages that some decision of the day has not reached by the newest outcome are left out, so no figure changes later.
CREATE OR REPLACE VIEW metrics_by_maturity AS
WITH
    outcomes AS
    (
        SELECT tenant, model, event_id, '' AS offer, event_time, matured_at, label, score FROM v_label_history
        UNION ALL
        SELECT tenant, model, event_id, offer, event_time, matured_at, label, score FROM v_reward_history
    ),
    newest AS
    (
        SELECT tenant, model, max(matured_at) AS newest FROM outcomes GROUP BY ALL
    ),
    known AS
    (
        SELECT
            tenant,
            model,
            toDate(any(event_time)) AS day,
            label_age_days,
            argMax(label, matured_at) AS label,
            any(score) AS score
        FROM outcomes
        INNER JOIN newest USING (tenant, model)
        ARRAY JOIN [1, 7, 14, 30, 60, 90] AS label_age_days
        WHERE matured_at <= event_time + toIntervalDay(label_age_days)
            AND toDate(event_time) + 1 + label_age_days <= newest
        GROUP BY tenant, model, event_id, offer, label_age_days
    )
SELECT
    tenant,
    model,
    day,
    label_age_days,
    count() AS n,
    countIf(label) AS positives,
    if(positives IN (0, n), NULL, arrayROCAUC(groupArray(score), groupArray(label))) AS auc,
    avg(if(label, -log(least(greatest(score, 1e-15), 1)), -log(least(greatest(1 - score, 1e-15), 1)))) AS log_loss
FROM known
GROUP BY tenant, model, day, label_age_days;
