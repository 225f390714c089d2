-- How what models see and say changes, against the first 28 days of it.

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
