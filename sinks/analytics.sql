-- What analysts ask. Tables hold every version of a row that arrived; the views v_* show each row once and are what
-- to query. A message's `event_time` is an integer of milliseconds, which JSONEachRow would read as seconds, so such
-- fields are EPHEMERAL and stored as DateTime64: event_time rests in `at`, matured_at in `matured`, and so on; the
-- views give them their names back. Rows expire by when they came, for replayed history is old from its first day.

CREATE TABLE IF NOT EXISTS events
(
    topic LowCardinality(String),
    raw String CODEC(ZSTD(3)),
    tenant LowCardinality(String) DEFAULT if(JSONExtractString(raw, 'tenant') = '', 'default', JSONExtractString(raw, 'tenant')),
    id_given String EPHEMERAL JSONExtract(raw, 'event_id', 'String'),
    kind LowCardinality(String) DEFAULT JSONExtractString(raw, 'kind'),
    about String DEFAULT JSONExtract(raw, 'about', 'String'),
    source LowCardinality(String) DEFAULT if(topic = 'feedback' AND NOT JSONHas(raw, 'source'), 'upstream', JSONExtract(raw, 'source', 'String')),
    event_id String DEFAULT if(topic = 'feedback' AND id_given = '', concat(kind, ':', source, ':', about), id_given) CODEC(ZSTD(1)),
    -- RFC 3339, or seconds, or milliseconds since 1970: beyond 2e10 it is milliseconds.
    time_given String EPHEMERAL JSONExtract(raw, 'event_time', 'String'),
    time_number Float64 EPHEMERAL toFloat64OrZero(time_given),
    at DateTime64(3, 'UTC') DEFAULT if(
        toFloat64OrNull(time_given) IS NULL,
        parseDateTime64BestEffortOrZero(time_given, 3, 'UTC'),
        fromUnixTimestamp64Milli(toInt64(round(time_number * if(abs(time_number) > 2e10, 1, 1000))), 'UTC')) CODEC(Delta, ZSTD(1)),
    user String DEFAULT JSONExtract(raw, 'user', 'String'),
    amount Nullable(Decimal(38, 8)) DEFAULT toDecimal128OrNull(JSONExtract(raw, 'amount', 'String'), 8),
    currency LowCardinality(String) DEFAULT JSONExtractString(raw, 'currency'),
    terminal String DEFAULT JSONExtract(raw, 'terminal', 'String'),
    merchant String DEFAULT JSONExtract(raw, 'merchant', 'String'),
    country LowCardinality(String) DEFAULT JSONExtractString(raw, 'country'),
    mcc LowCardinality(String) DEFAULT JSONExtract(raw, 'mcc', 'String'),
    channel LowCardinality(String) DEFAULT JSONExtractString(raw, 'channel'),
    offer String DEFAULT JSONExtract(raw, 'offer', 'String'),
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (topic, tenant, event_id)
TTL inserted_at + INTERVAL 13 MONTH;

CREATE TABLE IF NOT EXISTS features
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    user String,
    terminal String,
    card Nullable(String),
    country LowCardinality(Nullable(String)),
    amount Float64,
    currency LowCardinality(String),
    customer Array(Nullable(Float64)) CODEC(ZSTD(3)),
    customer_age Int64 DEFAULT -1,
    input_topic LowCardinality(String) DEFAULT 'transactions',
    input_partition Int32 DEFAULT 0,
    input_offset Int64 DEFAULT -1,
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, event_id)
TTL inserted_at + INTERVAL 13 MONTH;

CREATE TABLE IF NOT EXISTS scores
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    user String,
    terminal String,
    card Nullable(String),
    country LowCardinality(Nullable(String)),
    amount Float64,
    currency LowCardinality(String),
    score Float64,
    probability Float64,
    risk UInt8,
    decision LowCardinality(String),
    source LowCardinality(String),
    model LowCardinality(String),
    version UInt32,
    digest LowCardinality(String) DEFAULT '',
    features LowCardinality(String),
    vector Array(Nullable(Float64)) CODEC(ZSTD(3)),
    reasons Array(Tuple(feature LowCardinality(String), contribution Float64, text String)) CODEC(ZSTD(3)),
    other Float64 DEFAULT 0,
    intercept Float64 DEFAULT 0,
    anomaly Float64 DEFAULT 0,
    shadow Map(LowCardinality(String), Float64),
    shadow_versions Map(LowCardinality(String), UInt32),
    ages Map(LowCardinality(String), Int64),
    weight Float64 DEFAULT 1,
    input_topic LowCardinality(String) DEFAULT 'transactions',
    input_partition Int32 DEFAULT 0,
    input_offset Int64 DEFAULT -1,
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, event_id)
TTL inserted_at + INTERVAL 25 MONTH;

CREATE TABLE IF NOT EXISTS alerts
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    user String,
    terminal String,
    amount Float64,
    currency LowCardinality(String),
    risk UInt8,
    decision LowCardinality(String),
    reasons Array(Tuple(feature LowCardinality(String), contribution Float64, text String)) CODEC(ZSTD(3)),
    model LowCardinality(String),
    version UInt32,
    status LowCardinality(String) DEFAULT 'open',
    stage UInt8 DEFAULT indexOf(['open', 'assigned', 'resolved'], status),
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree(stage) PARTITION BY toYYYYMM(at) ORDER BY (tenant, event_id)
TTL inserted_at + INTERVAL 25 MONTH;

CREATE TABLE IF NOT EXISTS labels
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    model LowCardinality(String),
    label Bool,
    matured_at Int64 EPHEMERAL,
    matured DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(matured_at, 'UTC') CODEC(Delta, ZSTD(1)),
    score Float64,
    probability Float64,
    version UInt32,
    features LowCardinality(String) DEFAULT '',
    source LowCardinality(String) DEFAULT 'window',
    confidence Float64 DEFAULT 1,
    weight Float64 DEFAULT 1,
    late Bool DEFAULT false,
    amount Float64 DEFAULT 0,
    currency LowCardinality(String) DEFAULT '',
    user String DEFAULT '',
    terminal String DEFAULT '',
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree(matured) PARTITION BY toYYYYMM(at) ORDER BY (tenant, model, event_id)
TTL inserted_at + INTERVAL 25 MONTH;

CREATE TABLE IF NOT EXISTS model_versions
(
    event_id String,
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    model LowCardinality(String),
    version UInt32,
    kind LowCardinality(String),
    digest String,
    features LowCardinality(String),
    examples UInt64,
    frauds UInt64,
    learned_through Int64 EPHEMERAL,
    learned DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(learned_through, 'UTC'),
    metrics Map(LowCardinality(String), Float64),
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, model, version);

CREATE TABLE IF NOT EXISTS model_aliases
(
    event_id String,
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    alias LowCardinality(String),
    model LowCardinality(String),
    share Float64 DEFAULT 1,
    why String DEFAULT '',
    by LowCardinality(String) DEFAULT '',
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, alias, event_id);

CREATE TABLE IF NOT EXISTS dead_letters
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    reason LowCardinality(String),
    detail String CODEC(ZSTD(3)),
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    value String CODEC(ZSTD(1)),
    key Nullable(String),
    headers Array(Tuple(name String, value String)),
    code_version LowCardinality(String) DEFAULT '',
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, event_id)
TTL inserted_at + INTERVAL 13 MONTH;

-- Columns that came later, for tables that were there before them.
ALTER TABLE events ADD COLUMN IF NOT EXISTS decision String DEFAULT JSONExtract(raw, 'decision_id', 'String') AFTER offer;

ALTER TABLE model_versions ADD COLUMN IF NOT EXISTS order String DEFAULT '' AFTER metrics;

ALTER TABLE model_versions ADD COLUMN IF NOT EXISTS why String DEFAULT '' AFTER order;

ALTER TABLE model_versions ADD COLUMN IF NOT EXISTS last String DEFAULT '' AFTER why;

-- Bytes that are no JSON object have no event id: v_dead_letters says what was wrong with them.
CREATE OR REPLACE VIEW v_events AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM events FINAL WHERE event_id != '';

CREATE OR REPLACE VIEW v_model_aliases AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM model_aliases FINAL;

CREATE OR REPLACE VIEW v_features AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM features FINAL;

CREATE OR REPLACE VIEW v_scores AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM scores FINAL;

CREATE OR REPLACE VIEW v_alerts AS
SELECT at AS event_time, * EXCEPT (at, stage, inserted_at) FROM alerts FINAL;

CREATE OR REPLACE VIEW v_labels AS
SELECT at AS event_time, matured AS matured_at, * EXCEPT (at, matured, inserted_at) FROM labels FINAL;

CREATE OR REPLACE VIEW v_model_versions AS
SELECT at AS event_time, learned AS learned_through, * EXCEPT (at, learned, inserted_at) FROM model_versions FINAL;

CREATE OR REPLACE VIEW v_dead_letters AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM dead_letters FINAL;

-- Progressive: each score was made before its label was learned. Per version, over all labels and by how long the
-- label took to arrive. NULL where only frauds or only genuine payments are known; ties at the k-th score rank by id.
CREATE OR REPLACE VIEW model_quality AS
WITH
    least(greatest(probability, 1e-15), 1 - 1e-15) AS p,
    arrayReverseSort(groupArray((score, event_id, label))) AS ranked
SELECT
    tenant,
    model,
    version,
    label_age,
    count() AS n,
    countIf(label) AS frauds,
    if(frauds IN (0, n), NULL, arrayROCAUC(ranked.1, ranked.3)) AS auc,
    if(frauds IN (0, n), NULL, arrayAUCPR(ranked.1, ranked.3)) AS average_precision,
    avg(if(label, -log(p), -log(1 - p))) AS log_loss,
    arrayAvg(arraySlice(ranked.3, 1, 100)) AS precision_at_100
FROM v_labels
ARRAY JOIN [
    'all',
    multiIf(
        matured_at < event_time + INTERVAL 1 DAY, 'under 1 day',
        matured_at < event_time + INTERVAL 7 DAY, '1 to 7 days',
        matured_at < event_time + INTERVAL 30 DAY, '7 to 30 days',
        '30 days and more')] AS label_age
GROUP BY tenant, model, version, label_age;

CREATE OR REPLACE VIEW model_quality_by_day AS
WITH
    least(greatest(probability, 1e-15), 1 - 1e-15) AS p,
    arrayReverseSort(groupArray((score, event_id, label))) AS ranked
SELECT
    tenant,
    model,
    toDate(event_time) AS day,
    count() AS n,
    countIf(label) AS frauds,
    if(frauds IN (0, n), NULL, arrayROCAUC(ranked.1, ranked.3)) AS auc,
    if(frauds IN (0, n), NULL, arrayAUCPR(ranked.1, ranked.3)) AS average_precision,
    avg(if(label, -log(p), -log(1 - p))) AS log_loss,
    arrayAvg(arraySlice(ranked.3, 1, 100)) AS precision_at_100
FROM v_labels
GROUP BY tenant, model, day;
