-- What analysts ask about challengers: how their trials stood and ended, what they would have shown, and how far a model
-- that only imitates the rules agrees with them. As in offer_analytics.sql, times that a message has as milliseconds are
-- EPHEMERAL and rest as DateTime64.

CREATE TABLE IF NOT EXISTS rollouts
(
    event_id String,
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    model LowCardinality(String),
    trial LowCardinality(String),
    state LowCardinality(String),
    champion LowCardinality(String),
    challenger LowCardinality(String),
    share Float64,
    champion_outcomes UInt64,
    champion_mean Nullable(Float64),
    challenger_outcomes UInt64,
    challenger_mean Nullable(Float64),
    better Float64,
    worse Float64,
    low Float64,
    high Float64,
    alpha Float64,
    decided_at Int64 EPHEMERAL,
    decided Nullable(DateTime64(3, 'UTC')) DEFAULT if(decided_at = 0, NULL, fromUnixTimestamp64Milli(decided_at, 'UTC')),
    by String DEFAULT '',
    why String DEFAULT '',
    order String DEFAULT '',
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, model, event_id);

CREATE OR REPLACE VIEW v_rollouts AS
SELECT at AS event_time, decided AS decided_at, * EXCEPT (at, decided, inserted_at) FROM rollouts FINAL;

-- Where the other arm would have put the same offer on top, a trial tells nothing: the fewer, the more it does.
CREATE OR REPLACE VIEW trial_choices_by_day AS
SELECT
    tenant,
    model,
    trial,
    arm,
    toDate(event_time) AS day,
    count() AS decisions,
    uniqExact(user) AS customers,
    avg(shadow.offer = slots[1].offer) AS same_on_top
FROM v_rankings
WHERE trial != '' AND shadow.offer != ''
GROUP BY tenant, model, trial, arm, day;

-- `pairs` is over decisions in which the rules tell some candidates apart.
CREATE OR REPLACE VIEW apprentice_agreement AS
SELECT
    tenant,
    model,
    toDate(event_time) AS day,
    count() AS decisions,
    max(agreement.version) AS newest_version,
    avg(agreement.top) AS same_on_top,
    avg(agreement.pairs) AS pairs
FROM v_rankings
WHERE agreement.version > 0
GROUP BY tenant, model, day;
