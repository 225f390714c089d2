-- What analysts ask about offers again and again: is it better than chance, will the budget last, do customers come back.

-- What the first slots of a model and policy earn over what they would have earned at random, from the same log (SNIPS),
-- and over each other model and policy: the ratio of the mean rewards less one, with the 95 % interval of its logarithm
-- (delta method). Decisions whose outcome is open are left out, as in policy_value. Where `trial` is told, the same of
-- its decisions alone, by `arm`: there the other arm is no other time and no other customers' doing. Decisions are taken
-- to be independent, which those of one customer are not quite: v_rollouts has the evidence that ends a trial.
CREATE OR REPLACE VIEW offer_lift AS
WITH
    decided AS
    (
        SELECT
            i.tenant AS tenant,
            i.model AS model,
            i.policy AS policy,
            scope AS trial,
            if(scope = '', '', i.arm) AS arm,
            w.reward AS reward,
            1 / i.choices / i.propensity AS weight
        FROM v_impressions AS i
        LEFT JOIN v_rewards AS w ON w.tenant = i.tenant AND w.model = i.model AND w.decision = i.decision AND w.offer = i.offer
        ARRAY JOIN if(i.trial = '', [''], ['', i.trial]) AS scope
        WHERE i.position = 1 AND (NOT i.rewarded OR w.event_id != '')
    ),
    arms AS
    (
        SELECT tenant, model, policy, trial, arm, count() AS n, avg(reward) AS mean, varPop(reward) / (n * nullIf(mean * mean, 0)) AS spread
        FROM decided
        GROUP BY ALL
    ),
    means AS
    (
        SELECT
            *,
            nullIf(avg(reward) OVER (PARTITION BY tenant, model, policy, trial, arm), 0) AS rate,
            avg(weight) OVER (PARTITION BY tenant, model, policy, trial, arm) AS mean_weight,
            nullIf(avg(weight * reward) OVER (PARTITION BY tenant, model, policy, trial, arm), 0) / mean_weight AS random_rate
        FROM decided
    ),
    compared AS
    (
        SELECT
            tenant,
            model,
            policy,
            trial,
            arm,
            model AS control_model,
            'at random' AS control,
            count() AS n,
            n AS control_n,
            avg(reward) AS mean,
            any(random_rate) AS control_mean,
            sum(pow((reward - rate) / rate - weight * (reward - random_rate) / (random_rate * mean_weight), 2)) / (n * n) AS spread
        FROM means
        GROUP BY tenant, model, policy, trial, arm
        UNION ALL
        SELECT a.tenant, a.model, a.policy, a.trial, a.arm, b.model, b.policy, a.n, b.n, a.mean, b.mean, a.spread + b.spread
        FROM arms AS a
        INNER JOIN arms AS b ON a.tenant = b.tenant AND a.trial = b.trial
        WHERE (a.model, a.policy, a.arm) != (b.model, b.policy, b.arm)
    )
SELECT
    tenant,
    model,
    policy,
    control_model,
    control,
    n,
    control_n,
    mean AS rate,
    control_mean AS control_rate,
    rate / nullIf(control_rate, 0) - 1 AS lift,
    (lift + 1) * exp(-1.96 * sqrt(spread)) - 1 AS low,
    (lift + 1) * exp(1.96 * sqrt(spread)) - 1 AS high,
    trial,
    arm
FROM compared;

-- What an offer has cost against its budget, to the newest count of the tenant. `planned` is what an even pace from its
-- start (where none is told, its first entry in the catalogue) to its end would have cost; `pace` is the cost over that.
CREATE OR REPLACE VIEW budget_pacing AS
WITH
    newest AS
    (
        SELECT tenant, max(event_time) AS newest FROM v_offer_usage GROUP BY tenant
    ),
    catalogue AS
    (
        SELECT
            tenant,
            offer,
            argMax(raw, event_time) AS entry,
            toFloat64OrNull(JSONExtract(entry, 'budget', 'String')) AS budget,
            ifNull(parseDateTime64BestEffortOrNull(JSONExtractString(entry, 'starts'), 3, 'UTC'), min(event_time)) AS starts,
            parseDateTime64BestEffortOrNull(JSONExtractString(entry, 'ends'), 3, 'UTC') AS ends
        FROM v_events
        WHERE topic = 'offers'
        GROUP BY tenant, offer
    ),
    costs AS
    (
        SELECT
            tenant,
            offer,
            newest,
            argMax(u.spent, counted) AS so_far,
            argMaxIf(u.spent, counted, event_time <= newest - INTERVAL 7 DAY) AS a_week_ago,
            any(unit) AS unit
        FROM v_offer_usage AS u
        INNER JOIN newest USING (tenant)
        GROUP BY tenant, offer, newest
    )
SELECT
    tenant,
    offer,
    unit,
    budget,
    starts,
    ends,
    so_far AS spent,
    so_far / nullIf(budget, 0) AS share,
    dateDiff('second', starts, newest) / nullIf(dateDiff('second', starts, ends), 0) AS elapsed,
    if(elapsed IS NULL, NULL, budget * least(greatest(elapsed, 0), 1)) AS planned,
    so_far / nullIf(planned, 0) AS pace,
    (budget - so_far) / nullIf((so_far - a_week_ago) / 7, 0) AS days_left
FROM costs
INNER JOIN catalogue USING (tenant, offer)
WHERE budget IS NOT NULL;

-- Customers by the week (from Monday) of their first event, and what those who are still there do in each week after it.
CREATE OR REPLACE VIEW cohorts AS
WITH
    firsts AS
    (
        SELECT tenant, user, min(event_time) AS first FROM v_events WHERE user != '' AND topic IN ('transactions', 'clicks') GROUP BY ALL
    ),
    sizes AS
    (
        SELECT tenant, toMonday(first) AS cohort, count() AS customers FROM firsts GROUP BY ALL
    ),
    weeks AS
    (
        SELECT
            tenant,
            toMonday(first) AS cohort,
            intDiv(dateDiff('second', first, event_time), 604800) AS week,
            uniqExact(user) AS active,
            countIf(topic = 'transactions') AS payments,
            countIf(kind = 'click') AS clicks,
            countIf(kind = 'redemption') AS redemptions,
            countIf(kind = 'reversal') AS reversals
        FROM v_events
        INNER JOIN firsts USING (tenant, user)
        WHERE topic IN ('transactions', 'clicks')
        GROUP BY ALL
    )
SELECT *, active / customers AS retention
FROM weeks
INNER JOIN sizes USING (tenant, cohort);
