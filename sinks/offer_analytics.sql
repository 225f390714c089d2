-- What analysts ask about offers. As in analytics.sql, times that a message has as milliseconds are EPHEMERAL and rest
-- as DateTime64; a slot's `rewarded`, which a message leaves out where it is true, is told in the stored slots. What
-- somebody else decided is a ranking for each offer they showed, under one id: `logged` tells those apart.

CREATE TABLE IF NOT EXISTS rankings
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    user String,
    slots Array(Tuple(
        offer String,
        score Float64,
        value Float64,
        propensity Float64,
        window_end Int64,
        vector Array(Nullable(Float64)),
        rewarded Nullable(Bool),
        unit String,
        reasons Array(Tuple(feature String, contribution Float64, text String)),
        abuse Float64)) EPHEMERAL,
    filled Array(Tuple(
        offer String,
        score Float64,
        value Float64,
        propensity Float64,
        window_end DateTime64(3, 'UTC'),
        vector Array(Nullable(Float64)),
        rewarded Bool,
        unit String,
        reasons Array(Tuple(feature String, contribution Float64, text String))))
        DEFAULT arrayMap(
            slot -> (
                slot.offer,
                slot.score,
                slot.value,
                slot.propensity,
                fromUnixTimestamp64Milli(slot.window_end, 'UTC'),
                slot.vector,
                ifNull(slot.rewarded, true),
                slot.unit,
                slot.reasons),
            slots) CODEC(ZSTD(3)),
    candidates Array(String) CODEC(ZSTD(3)),
    scores Array(Float64) CODEC(ZSTD(3)),
    source LowCardinality(String),
    policy LowCardinality(String),
    model LowCardinality(String),
    version UInt32,
    features LowCardinality(String),
    refused Map(String, String) CODEC(ZSTD(3)),
    degraded Bool DEFAULT false,
    shown Bool DEFAULT false,
    logged String DEFAULT if(shown, filled[1].offer, ''),
    trigger LowCardinality(String) DEFAULT 'request',
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, event_id, logged)
TTL inserted_at + INTERVAL 13 MONTH;

CREATE TABLE IF NOT EXISTS rewards
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    model LowCardinality(String),
    user String,
    offer String,
    label Bool,
    matured_at Int64 EPHEMERAL,
    matured DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(matured_at, 'UTC') CODEC(Delta, ZSTD(1)),
    score Float64,
    version UInt32,
    features LowCardinality(String),
    propensity Float64,
    weight Float64 DEFAULT 1,
    decision String DEFAULT event_id CODEC(ZSTD(1)),
    position UInt8 DEFAULT 1,
    policy LowCardinality(String) DEFAULT 'logged',
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree(matured) PARTITION BY toYYYYMM(at) ORDER BY (tenant, model, event_id, offer)
TTL inserted_at + INTERVAL 25 MONTH;

CREATE TABLE IF NOT EXISTS reward_strays
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    user String,
    kind LowCardinality(String),
    reason LowCardinality(String),
    offer String DEFAULT '',
    decision String DEFAULT '' CODEC(ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, event_id)
TTL inserted_at + INTERVAL 13 MONTH;

CREATE TABLE IF NOT EXISTS ranker_versions
(
    event_id String,
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    model LowCardinality(String),
    version UInt32,
    digest String,
    features LowCardinality(String),
    examples UInt64,
    rewarded UInt64,
    learned_through Int64 EPHEMERAL,
    learned DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(learned_through, 'UTC'),
    metrics Map(LowCardinality(String), Float64),
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, model, version);

CREATE TABLE IF NOT EXISTS offer_usage
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    offer String,
    impressions UInt64,
    redemptions UInt64,
    spent Float64,
    views UInt64 DEFAULT 0,
    unit LowCardinality(String) DEFAULT '',
    counted UInt64 DEFAULT impressions + views + redemptions,
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree(counted) PARTITION BY toYYYYMM(at) ORDER BY (tenant, offer, event_id)
TTL inserted_at + INTERVAL 13 MONTH;

-- Columns that came later, for tables that were there before them.
ALTER TABLE rankings ADD COLUMN IF NOT EXISTS trigger LowCardinality(String) DEFAULT 'request' AFTER logged;

-- What a shown offer earned, and what it had been said to earn before, of an example that corrects one.
ALTER TABLE rewards ADD COLUMN IF NOT EXISTS reward Float64 DEFAULT toFloat64(label) AFTER policy;

ALTER TABLE rewards ADD COLUMN IF NOT EXISTS late Bool DEFAULT false AFTER reward;

ALTER TABLE rewards ADD COLUMN IF NOT EXISTS before Nullable(Float64) AFTER late;

-- What was taken back; a count that orders what is said of an offer has to grow with every event.
ALTER TABLE offer_usage ADD COLUMN IF NOT EXISTS reversals UInt64 DEFAULT 0 AFTER unit;

ALTER TABLE offer_usage MODIFY COLUMN counted UInt64 DEFAULT impressions + views + redemptions + 2 * reversals;

-- Which order put a ranker where it is, and why; and which record it learned last.
ALTER TABLE ranker_versions ADD COLUMN IF NOT EXISTS order String DEFAULT '' AFTER metrics;

ALTER TABLE ranker_versions ADD COLUMN IF NOT EXISTS why String DEFAULT '' AFTER order;

ALTER TABLE ranker_versions ADD COLUMN IF NOT EXISTS last String DEFAULT '' AFTER why;

-- Whose policy decided, in which trial, what another would have put on top, and how far an apprentice agrees.
ALTER TABLE rankings ADD COLUMN IF NOT EXISTS arm LowCardinality(String) DEFAULT 'champion';

ALTER TABLE rankings ADD COLUMN IF NOT EXISTS trial LowCardinality(String) DEFAULT '';

ALTER TABLE rankings ADD COLUMN IF NOT EXISTS shadow Tuple(policy String, offer String, propensity Float64);

ALTER TABLE rankings ADD COLUMN IF NOT EXISTS agreement Tuple(version UInt32, top Bool, pairs Nullable(Float64));

ALTER TABLE rewards ADD COLUMN IF NOT EXISTS arm LowCardinality(String) DEFAULT 'champion';

ALTER TABLE rewards ADD COLUMN IF NOT EXISTS trial LowCardinality(String) DEFAULT '';

-- What each slot is expected to lose to abuse, beside the slots: what they were is not written anew.
ALTER TABLE rankings MODIFY COLUMN slots Array(Tuple(
    offer String,
    score Float64,
    value Float64,
    propensity Float64,
    window_end Int64,
    vector Array(Nullable(Float64)),
    rewarded Nullable(Bool),
    unit String,
    reasons Array(Tuple(feature String, contribution Float64, text String)),
    abuse Float64)) EPHEMERAL;

ALTER TABLE rankings ADD COLUMN IF NOT EXISTS abuses Array(Float64) DEFAULT arrayMap(slot -> slot.abuse, slots);

-- When the last good ranking was made that is served again, in milliseconds since 1970.
ALTER TABLE rankings ADD COLUMN IF NOT EXISTS good_at Nullable(Int64);

CREATE OR REPLACE VIEW v_rankings AS
SELECT
    at AS event_time,
    filled AS slots,
    * EXCEPT (at, filled, good_at, logged, inserted_at),
    fromUnixTimestamp64Milli(rankings.good_at, 'UTC') AS good_at
FROM rankings FINAL;

CREATE OR REPLACE VIEW v_rewards AS
SELECT at AS event_time, matured AS matured_at, * EXCEPT (at, matured, inserted_at) FROM rewards FINAL;

CREATE OR REPLACE VIEW v_reward_strays AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM reward_strays FINAL;

CREATE OR REPLACE VIEW v_ranker_versions AS
SELECT at AS event_time, learned AS learned_through, * EXCEPT (at, learned, inserted_at) FROM ranker_versions FINAL;

CREATE OR REPLACE VIEW v_offer_usage AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM offer_usage FINAL;

-- `choices` is how many candidates there were, `highest` the chance that the highest score alone would have chosen this.
CREATE OR REPLACE VIEW v_slots AS
SELECT
    tenant,
    event_id AS decision,
    event_time,
    user,
    position,
    slot.offer AS offer,
    slot.score AS score,
    slot.value AS value,
    abuses[position] AS abuse,
    slot.unit AS unit,
    slot.propensity AS propensity,
    slot.window_end AS window_end,
    slot.rewarded AS rewarded,
    slot.reasons AS reasons,
    source,
    policy,
    model,
    version,
    degraded,
    length(candidates) AS choices,
    if(score = arrayMax(scores), 1 / countEqual(scores, score), 0) AS highest,
    arm,
    trial
FROM v_rankings
ARRAY JOIN slots AS slot, arrayEnumerate(slots) AS position;

-- Slots that were shown, and what the customer did with their offers within the time to redeem, which begins when a
-- slot is shown. What tells no decision counts for each decision on its offer, as it does in learning, and what tells
-- no offer for each slot of its decision. `redeemed` is what no reversal took back, however much later; `reversed` says
-- that all there was has been taken back.
CREATE OR REPLACE VIEW v_impressions AS
WITH
    did AS
    (
        SELECT tenant, user, offer, kind, event_time AS at, if(kind = 'impression' AND decision = '', event_id, decision) AS about
        FROM v_events
        WHERE topic = 'clicks' AND offer != ''
        UNION ALL
        SELECT tenant, e.user, arrayJoin(r.filled.offer), e.kind, e.event_time, e.decision
        FROM rankings AS r FINAL
        INNER JOIN
        (
            SELECT tenant, user, kind, event_time, decision, decision AS event_id
            FROM v_events
            WHERE topic = 'clicks' AND offer = '' AND decision != '' AND kind != 'impression'
        ) AS e USING (tenant, event_id)
    ),
    shown AS
    (
        SELECT tenant, about AS decision, offer, min(at) AS shown_at FROM did WHERE kind = 'impression' GROUP BY ALL
    ),
    answered AS
    (
        SELECT tenant, user, offer, groupArray((kind, at, about)) AS given FROM did WHERE kind != 'impression' GROUP BY ALL
    ),
    arrayFilter(each -> each.3 IN ('', decision) AND each.2 >= shown_at, given) AS following,
    arrayFilter(each -> each.2 - shown_at <= window_end - event_time, following) AS in_time
SELECT
    * EXCEPT given,
    arrayMap(each -> each.1, in_time) AS answers,
    has(answers, 'view') AS viewed,
    has(answers, 'click') AS clicked,
    arrayMax(arrayMap(each -> each.2, arrayFilter(each -> each.1 = 'reversal', following))) AS reversed_at,
    arrayExists(each -> each.1 = 'redemption' AND each.2 > reversed_at, in_time) AS redeemed,
    has(answers, 'redemption') AND NOT redeemed AS reversed
FROM v_slots
INNER JOIN shown USING (tenant, decision, offer)
LEFT JOIN answered USING (tenant, user, offer);

CREATE OR REPLACE VIEW offer_funnel AS
SELECT
    s.tenant AS tenant,
    toDate(s.event_time) AS day,
    s.offer AS offer,
    count() AS ranked,
    countIf(i.decision != '') AS shown,
    countIf(i.viewed) AS viewed,
    countIf(i.clicked) AS clicked,
    countIf(i.redeemed) AS redeemed,
    countIf(i.reversed) AS reversed
FROM v_slots AS s
LEFT JOIN v_impressions AS i ON i.tenant = s.tenant AND i.decision = s.decision AND i.offer = s.offer
GROUP BY tenant, day, offer;

CREATE OR REPLACE VIEW slot_rates AS
SELECT
    tenant,
    policy,
    position,
    count() AS shown,
    avg(viewed) AS view_rate,
    avg(clicked) AS click_rate,
    avg(redeemed) AS redemption_rate,
    avg(score) AS expected
FROM v_impressions
GROUP BY tenant, policy, position;

-- Progressive: each score was made before its outcome was learned. `expected` and `observed` are of the reward that the
-- score foretells, of which `log_loss` is the cross-entropy; `auc` tells labels apart, and is NULL where all or none were
-- redeemed.
CREATE OR REPLACE VIEW ranker_quality_by_day AS
WITH least(greatest(score, 1e-15), 1 - 1e-15) AS p
SELECT
    tenant,
    model,
    toDate(event_time) AS day,
    count() AS n,
    countIf(label) AS redeemed,
    if(redeemed IN (0, n), NULL, arrayROCAUC(groupArray(score), groupArray(label))) AS auc,
    avg(-reward * log(p) - (1 - reward) * log(1 - p)) AS log_loss,
    avg(score) AS expected,
    avg(reward) AS observed
FROM v_rewards
WHERE version > 0
GROUP BY tenant, model, day;

-- What policies would have earned per decision, in first slots alone, where one shown offer stands for one choice: by
-- inverse propensity (IPS) and self-normalised (SNIPS: Swaminathan and Joachims, 2015), with its standard error. Only
-- what had a chance to be shown can be judged: `mean_weight` far from 1 says that something had none. Decisions whose
-- outcome is open are left out, so that in the newest days those on offers with a short time to redeem are ahead.
-- `redeemed` is as `snips`, of labels in the place of rewards.
CREATE OR REPLACE VIEW policy_value AS
WITH decided AS
(
    SELECT
        i.tenant AS tenant,
        i.model AS model,
        w.reward AS reward,
        w.label AS label,
        i.propensity AS propensity,
        i.choices AS choices,
        i.highest AS highest
    FROM v_impressions AS i
    LEFT JOIN v_rewards AS w ON w.tenant = i.tenant AND w.model = i.model AND w.decision = i.decision AND w.offer = i.offer
    WHERE i.position = 1 AND (NOT i.rewarded OR w.event_id != '')
)
SELECT
    tenant,
    model,
    target,
    count() AS n,
    avg(weight * reward) AS ips,
    sum(weight * reward) / nullIf(sum(weight), 0) AS snips,
    sqrt(greatest(sum(pow(weight * reward, 2)) - 2 * snips * sum(weight * weight * reward) + snips * snips * sum(weight * weight), 0)) / nullIf(sum(weight), 0) AS snips_error,
    avg(weight) AS mean_weight,
    sum(weight) * sum(weight) / nullIf(sum(weight * weight), 0) AS effective_n,
    sum(weight * label) / nullIf(sum(weight), 0) AS redeemed
FROM decided
ARRAY JOIN
    ['as logged', 'at random', 'highest score'] AS target,
    [1, 1 / choices / propensity, highest / propensity] AS weight
GROUP BY tenant, model, target;
