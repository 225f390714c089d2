-- How models and what they see change: drift against the first 28 days, rates with their intervals, and what every
-- figure was worth at each age of its labels.

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

-- The names of the features of a set, in their order.
CREATE TABLE IF NOT EXISTS feature_sets
(
    features String,
    names Array(String)
)
ENGINE = ReplacingMergeTree ORDER BY features;

-- The population stability index of a feature on a day: the sum of (p - q) * ln(p / q) over its bins, p of the day and
-- q of the first 28 days of its feature set. Bins are the deciles of those days, and one for missing values. A half is
-- added to each count of q, and to the day one value that is spread as q is. `by_chance` is about what comes out where
-- nothing has changed (Yurdakul, 2018).
CREATE OR REPLACE VIEW feature_drift_by_day AS
WITH
    served AS
    (
        SELECT tenant, features, toDate(event_time) AS day, vector FROM v_scores
        UNION ALL
        SELECT tenant, features, toDate(event_time) AS day, slot.vector AS vector FROM v_rankings ARRAY JOIN slots AS slot
    ),
    of_each AS
    (
        SELECT tenant, features, position, day, value FROM served ARRAY JOIN vector AS value, arrayEnumerate(vector) AS position
    ),
    firsts AS
    (
        SELECT tenant, features, min(day) + 28 AS compared_from FROM served GROUP BY ALL
    ),
    parted AS
    (
        SELECT
            tenant,
            features,
            position,
            compared_from,
            quantilesGKIf(10000, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)(ifNull(value, 0), value IS NOT NULL) AS deciles,
            arrayDistinct(arrayFilter(decile -> isFinite(decile), deciles)) AS edges
        FROM of_each
        INNER JOIN firsts USING (tenant, features)
        WHERE day < compared_from
        GROUP BY ALL
    ),
    binned AS
    (
        SELECT
            tenant,
            features,
            position,
            day,
            day < compared_from AS early,
            range(length(edges) + 2) AS bins,
            count() AS n,
            countIf(value IS NULL) AS missing,
            sumMap(map(if(value IS NULL, 0, 1 + arrayCount(edge -> edge < value, edges)), toUInt64(1))) AS counts
        FROM of_each
        INNER JOIN parted USING (tenant, features, position)
        GROUP BY ALL
    ),
    compared AS
    (
        SELECT
            *,
            sumIf(n, early) OVER (PARTITION BY tenant, features, position) AS reference,
            sumMapIf(counts, early) OVER (PARTITION BY tenant, features, position) AS reference_counts,
            arrayMap(bin -> (reference_counts[bin] + 0.5) / (reference + length(bins) / 2), bins) AS q,
            arrayMap((bin, share) -> (counts[bin] + share) / (n + 1), bins, q) AS p
        FROM binned
    )
SELECT
    c.tenant AS tenant,
    c.features AS features,
    position,
    if(s.names[position] = '', toString(position), s.names[position]) AS feature,
    day,
    n,
    missing,
    arraySum((a, b) -> (a - b) * log(a / b), p, q) AS psi,
    (length(reference_counts) - 1) * (1 / n + 1 / reference) AS by_chance
FROM compared AS c
LEFT JOIN feature_sets AS s FINAL ON s.features = c.features;

-- The same of what each model scored, also in the shadow, against its own first 28 days; a score's bin is the tenth of
-- those days' scores that it lies above. `ks` is the largest distance of the two cumulative distributions (Kolmogorov
-- and Smirnov), which exceeds `ks_by_chance` on one day of twenty where nothing has changed.
CREATE OR REPLACE VIEW score_drift_by_day AS
WITH
    scored AS
    (
        SELECT tenant, toDate(event_time) AS day, model, score FROM v_scores WHERE version > 0
        UNION ALL
        SELECT tenant, toDate(event_time) AS day, challenger AS model, given AS score
        FROM v_scores
        ARRAY JOIN mapKeys(shadow) AS challenger, mapValues(shadow) AS given
        WHERE shadow_versions[challenger] > 0
        UNION ALL
        SELECT tenant, toDate(event_time) AS day, model, score FROM v_rankings ARRAY JOIN scores AS score WHERE version > 0
    ),
    counted AS
    (
        SELECT tenant, model, day, score, count() AS here FROM scored GROUP BY ALL
    ),
    marked AS
    (
        SELECT *, here * (day < min(day) OVER (PARTITION BY tenant, model) + 28) AS early FROM counted
    ),
    ranked AS
    (
        SELECT
            *,
            sum(here) OVER (PARTITION BY tenant, model, day) AS n,
            sum(early) OVER (PARTITION BY tenant, model) AS reference,
            sum(here) OVER (PARTITION BY tenant, model, day ORDER BY score) AS up_to,
            sum(early) OVER (PARTITION BY tenant, model ORDER BY score) AS early_up_to,
            early_up_to - sum(early) OVER (PARTITION BY tenant, model, score) AS early_below
        FROM marked
    ),
    distances AS
    (
        SELECT
            tenant,
            model,
            day,
            n,
            reference,
            sum(score * here) / n AS mean,
            greatest(max(up_to / n - early_up_to / reference), max(early_below / reference - (up_to - here) / n)) AS ks,
            sumMap(map(least(intDiv(10 * early_below, reference), 9), here)) AS counts,
            sumMap(map(least(intDiv(10 * early_below, reference), 9), early)) AS early_counts
        FROM ranked
        GROUP BY tenant, model, day, n, reference
    ),
    compared AS
    (
        SELECT
            *,
            sumMap(early_counts) OVER (PARTITION BY tenant, model) AS reference_counts,
            arrayMap(bin -> (reference_counts[bin] + 0.5) / (reference + 5), range(10)) AS q,
            arrayMap((bin, share) -> (counts[bin] + share) / (n + 1), range(10), q) AS p
        FROM distances
    )
SELECT
    tenant,
    model,
    day,
    n,
    mean,
    arraySum((a, b) -> (a - b) * log(a / b), p, q) AS psi,
    9 * (1 / n + 1 / reference) AS by_chance,
    ks,
    1.358 * sqrt(1 / n + 1 / reference) AS ks_by_chance
FROM compared;

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

-- Of the shown offers whose time is over, how many were redeemed, with the interval of Wilson (95 %).
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
    (rate + z * z / (2 * n) + half) / (1 + z * z / n) AS high
FROM v_rewards
GROUP BY tenant, model, day;

-- As model_quality of a fraud model: per version, over all rewards and by how long each took to be known.
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
    avg(if(label, -log(p), -log(1 - p))) AS log_loss,
    avg(score) AS expected,
    avg(label) AS observed
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
