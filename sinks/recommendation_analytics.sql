-- What analysts ask about recommendations. As in analytics.sql, times that a message has as milliseconds are EPHEMERAL
-- and rest as DateTime64. Entries of the catalogue are events, and `v_items` shows the last one of each item.

CREATE TABLE IF NOT EXISTS recommendations
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    user String,
    expires_at Int64 EPHEMERAL,
    expires DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(expires_at, 'UTC') CODEC(Delta, ZSTD(1)),
    items Array(Tuple(item String, score Float64, part String, reason String, parts Map(String, Float64))) CODEC(ZSTD(3)),
    weights Map(LowCardinality(String), Float64),
    personal Bool DEFAULT true,
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (tenant, event_id)
TTL inserted_at + INTERVAL 13 MONTH;

CREATE TABLE IF NOT EXISTS item_demand
(
    event_id String CODEC(ZSTD(1)),
    event_time Int64 EPHEMERAL,
    at DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(event_time, 'UTC') CODEC(Delta, ZSTD(1)),
    tenant LowCardinality(String) DEFAULT 'default',
    item String,
    weight Float64,
    count UInt64,
    rated UInt64 DEFAULT 0,
    bias Float64 DEFAULT 0,
    unlisted UInt64 DEFAULT 0,
    inserted_at DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = ReplacingMergeTree(count) PARTITION BY toYYYYMM(at) ORDER BY (tenant, item, event_id)
TTL inserted_at + INTERVAL 13 MONTH;

CREATE OR REPLACE VIEW v_recommendations AS
SELECT at AS event_time, expires AS expires_at, * EXCEPT (at, expires, inserted_at) FROM recommendations FINAL;

CREATE OR REPLACE VIEW v_item_demand AS
SELECT at AS event_time, * EXCEPT (at, inserted_at) FROM item_demand FINAL;

CREATE OR REPLACE VIEW v_items AS
SELECT
    tenant,
    JSONExtract(raw, 'item', 'String') AS item,
    max(v_events.event_time) AS event_time,
    argMax(JSONExtractString(raw, 'title'), v_events.event_time) AS title,
    argMax(JSONExtract(raw, 'categories', 'Array(String)'), v_events.event_time) AS categories,
    argMax(v_events.merchant, v_events.event_time) AS merchant,
    argMax(if(JSONHas(raw, 'status'), JSONExtractString(raw, 'status'), 'active'), v_events.event_time) AS status
FROM v_events
WHERE topic = 'items'
GROUP BY tenant, item;

-- Recommended items, and when the customer chose each: bought, redeemed or rated it. An item counts while the customer
-- could find it there, which ends when newer recommendations are made or these expire, at `until`.
CREATE OR REPLACE VIEW v_suggestions AS
WITH
    made AS
    (
        SELECT
            *,
            least(expires_at, leadInFrame(event_time, 1, expires_at) OVER (
                PARTITION BY tenant, user ORDER BY event_time
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) AS until
        FROM v_recommendations
    ),
    suggested AS
    (
        SELECT
            tenant,
            event_id AS cause,
            event_time,
            until,
            user,
            position,
            suggestion.item AS item,
            suggestion.score AS score,
            suggestion.part AS part,
            suggestion.reason AS reason,
            personal
        FROM made
        ARRAY JOIN items AS suggestion, arrayEnumerate(items) AS position
    ),
    choices AS
    (
        SELECT tenant, user, JSONExtract(raw, 'item', 'String') AS item, groupArray(event_time) AS times
        FROM v_events
        WHERE topic = 'clicks' AND kind IN ('purchase', 'redemption', 'rating') AND item != ''
        GROUP BY tenant, user, item
    )
SELECT
    * EXCEPT times,
    arraySort(arrayFilter(time -> time BETWEEN event_time AND until, times)) AS chosen_at,
    notEmpty(chosen_at) AS chosen
FROM suggested
LEFT JOIN choices USING (tenant, user, item);

-- By the part that made an item stand out. Nobody knows which recommendations were looked at: a rate is of all made.
CREATE OR REPLACE VIEW recommendation_hits AS
SELECT
    tenant,
    toDate(event_time) AS day,
    part,
    count() AS recommended,
    countIf(chosen) AS hits,
    hits / recommended AS hit_rate
FROM v_suggestions
GROUP BY tenant, day, part;
