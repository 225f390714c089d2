"""What ClickHouse says about offers: what was shown, what customers did, and what policies are worth."""

import asyncio
import random
from datetime import date
from typing import Any

import numpy as np
import pytest

from processors.policy_evaluation import Log, evaluate
from sinks.analytics import TABLES, AnalyticsSink, create_schema
from sinks.base import Encoded
from streams.assembly import offer_pipeline
from streams.offer_simulator import Customers
from streams.replay import Replay
from streams.settings import Settings
from streams.simulator import World
from tests.contracts.results import NOON, click, offer_example, offer_usage, ranking, slot
from tests.sinks.analysts import DAY, QUERIES, emptied, keep, rows
from tests.sinks.offer_history import offer_history


def test_a_ranking_keeps_every_slot_whole(client: Any) -> None:
    made = ranking(slots=(slot(), slot("books", rewarded=False, reasons=())))
    keep(client, made)
    (stored,) = rows(client, "SELECT slots FROM v_rankings")[0]
    for given, kept in zip(made.slots, stored, strict=True):
        for name in ("offer", "score", "value", "propensity", "rewarded", "unit"):
            assert kept[name] == getattr(given, name), name
        assert tuple(kept["vector"]) == given.vector
        assert [reason["text"] for reason in kept["reasons"]] == [reason.text for reason in given.reasons]
    asked = "SELECT offer, position, toUnixTimestamp64Milli(window_end) FROM v_slots ORDER BY position"
    assert rows(client, asked) == [("coffee", 1, NOON + 7 * DAY), ("books", 2, NOON + 7 * DAY)]


def test_a_ranking_without_slots_is_kept_with_what_was_refused(client: Any) -> None:
    keep(client, ranking(slots=(), candidates=(), scores=(), refused={"Ünï 😀": "stock"}))
    assert rows(client, "SELECT slots, refused FROM v_rankings") == [([], {"Ünï 😀": "stock"})]


def test_what_was_lost_to_abuse_is_part_of_the_value_and_a_ranking_served_again_says_so(client: Any) -> None:
    served: dict[str, Any] = {"source": "last_good", "degraded": True, "good_at": NOON - DAY, "trigger": "risk"}
    keep(client, ranking(slots=(slot(value=1.0, abuse=0.2), slot("books", value=0.5)), **served))
    assert rows(client, "SELECT source, degraded, trigger, abuses FROM v_rankings") == [
        ("last_good", True, "risk", [0.2, 0.0])
    ]
    assert rows(client, "SELECT value, abuse FROM v_slots ORDER BY position") == [(1.0, 0.2), (0.5, 0.0)]


def test_a_table_from_before_abuse_was_kept_keeps_it(client: Any) -> None:
    client.command("ALTER TABLE rankings DROP COLUMN abuses")
    asked = "SELECT type FROM system.columns WHERE table = 'rankings' AND name = 'slots'"
    ((now,),) = rows(client, asked)
    before = now.replace(", abuse Float64", "")
    client.command(f"ALTER TABLE rankings MODIFY COLUMN slots {before} EPHEMERAL")
    assert rows(client, asked) == [(before,)] != [(now,)]
    keep(client, ranking("before", slots=(slot(abuse=0.2),)))
    create_schema(client)
    keep(client, ranking("after", slots=(slot(abuse=0.2),)))
    asked = "SELECT decision, offer, value, abuse FROM v_slots ORDER BY decision"
    assert rows(client, asked) == [("after", "coffee", slot().value, 0.2), ("before", "coffee", slot().value, 0.0)]


def test_a_ranking_that_is_served_again_tells_when_it_was_made(client: Any) -> None:
    keep(client, ranking("again", good_at=NOON - DAY), ranking("new"))
    asked = "SELECT event_id, toUnixTimestamp64Milli(good_at) FROM v_rankings ORDER BY event_id"
    assert rows(client, asked) == [("again", NOON - DAY), ("new", None)]


def test_usage_is_kept_as_it_grew(client: Any) -> None:
    keep(client, *(offer_usage(n) for n in (3, 1, 2)))
    assert rows(client, "SELECT impressions FROM v_offer_usage ORDER BY event_time") == [(1,), (2,), (3,)]


def test_of_two_redemptions_taken_back_at_once_the_last_count_is_kept(client: Any) -> None:
    once, twice = (offer_usage(10, event_id="back", redemptions=3 - n, spent=15.0 - 5 * n, reversals=n) for n in (1, 2))
    keep(client, twice, once, offer_usage(9))
    asked = "SELECT redemptions, spent, reversals, counted FROM v_offer_usage WHERE event_id = 'back'"
    assert rows(client, asked) == [(1, 5.0, 2, twice.counted)]


def test_a_table_from_before_reversals_were_counted_counts_them(client: Any) -> None:
    client.command("ALTER TABLE offer_usage MODIFY COLUMN counted UInt64 DEFAULT impressions + views + redemptions")
    client.command("ALTER TABLE offer_usage DROP COLUMN reversals")
    keep(client, offer_usage(5))
    create_schema(client)
    keep(client, offer_usage(10, reversals=4))
    assert rows(client, "SELECT reversals, counted FROM v_offer_usage ORDER BY event_time") == [(0, 8), (4, 25)]


def test_a_slot_that_was_not_shown_is_no_impression(client: Any) -> None:
    keep(client, ranking(), click("c1", "impression"), click("c2", "impression", offer="tea"))
    assert rows(client, "SELECT offer, position FROM v_impressions") == [("coffee", 1)]


def test_what_somebody_else_showed_is_an_impression_by_its_event_id(client: Any) -> None:
    keep(client, ranking("c1", policy="logged", shown=True), click("c1", "impression", decision_id=None))
    assert rows(client, "SELECT decision, policy FROM v_impressions") == [("c1", "logged")]


def test_what_somebody_else_showed_under_one_id_is_all_kept(client: Any) -> None:
    for offer in ("coffee", "tea", "coffee"):
        keep(client, ranking("theirs", slots=(slot(offer),), policy="logged", shown=True))
    keep(client, *(click(f"c-{offer}", "impression", decision_id="theirs", offer=offer) for offer in ("coffee", "tea")))
    assert rows(client, "SELECT offer, position FROM v_impressions ORDER BY offer") == [("coffee", 1), ("tea", 1)]


def test_the_highest_score_shares_its_chance_with_its_equals(client: Any) -> None:
    three = (slot(score=0.4), slot("books", score=0.4), slot("tea", score=0.1))
    keep(client, ranking(slots=three, scores=(0.4, 0.4, 0.1)))
    assert rows(client, "SELECT choices, highest FROM v_slots ORDER BY position") == [(3, 0.5), (3, 0.5), (3, 0)]


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"event_time": "2018-07-09T12:00:00Z"}, True),  # shown a day after it was ranked, and seven days to redeem
        ({"event_time": "2018-07-09T12:00:00.001Z"}, False),
        ({"event_time": "2018-07-02T11:59:59Z"}, False),
        ({"event_time": "2018-07-05T12:00:00Z", "decision_id": None}, True),
        ({"event_time": "2018-07-05T12:00:00Z", "decision_id": "other"}, False),
        ({"event_time": "2018-07-05T12:00:00Z", "user": "bob"}, False),
        ({"event_time": "2018-07-05T12:00:00Z", "tenant": "acme"}, False),
    ],
)
def test_an_answer_counts_for_its_decision_while_there_is_time(
    client: Any, told: dict[str, Any], counted: bool
) -> None:
    keep(client, ranking(), click("c1", "impression", event_time="2018-07-02T12:00:00Z"))
    keep(client, click("c2", "redemption", **told))
    assert rows(client, "SELECT redeemed FROM v_impressions") == [(counted,)]


@pytest.mark.parametrize(
    ("back", "redeemed"),
    [
        ({"event_time": "2018-07-04T12:00:00Z"}, False),
        ({"event_time": "2018-07-03T12:00:00Z"}, False),
        ({"event_time": "2018-08-30T12:00:00Z", "decision_id": None}, False),
        ({"event_time": "2018-07-04T12:00:00Z", "offer": None}, False),
        ({"event_time": "2018-07-04T12:00:00Z", "offer": None, "decision_id": "other"}, True),
        ({"event_time": "2018-07-03T11:59:59Z"}, True),
        ({"event_time": "2018-07-04T12:00:00Z", "decision_id": "other"}, True),
        ({"event_time": "2018-07-04T12:00:00Z", "user": "bob"}, True),
    ],
)
def test_what_a_reversal_took_back_is_not_redeemed(client: Any, back: dict[str, Any], redeemed: bool) -> None:
    keep(client, ranking(), click("c1", "impression", event_time="2018-07-02T12:00:00Z"))
    keep(client, click("c2", "redemption", event_time="2018-07-03T12:00:00Z"), click("c3", "reversal", **back))
    assert rows(client, "SELECT redeemed, reversed FROM v_impressions") == [(redeemed, not redeemed)]
    assert rows(client, "SELECT sum(redeemed), sum(reversed) FROM offer_funnel") == [(redeemed, not redeemed)]


def test_what_is_redeemed_again_after_a_reversal_stands(client: Any) -> None:
    keep(client, ranking(), click("c1", "impression", event_time="2018-07-02T12:00:00Z"))
    for hour, kind in enumerate(("redemption", "reversal", "redemption")):
        keep(client, click(f"c-{hour}", kind, event_time=f"2018-07-03T{12 + hour}:00:00Z"))
    assert rows(client, "SELECT redeemed, reversed FROM v_impressions") == [(True, False)]


def test_policies_are_worth_what_the_evaluation_says(client: Any) -> None:
    chance, log, messages = random.Random(7), [], []
    for n in range(300):
        scores = tuple(round(chance.random(), 3) for _ in range(3))
        best = max(range(3), key=scores.__getitem__)
        chances = [0.7 if action == best else 0.15 for action in range(3)]
        action = chance.choices(range(3), chances)[0]
        offer, redeemed = ("books", "coffee", "tea")[action], chance.random() < scores[action]
        earned = round(chance.random(), 3)
        log.append((action, earned, redeemed, chances[action], best))
        messages += [
            ranking(f"d{n}", slots=(slot(offer, score=scores[action], propensity=chances[action]),), scores=scores),
            click(f"c{n}", "impression", offer=offer, decision_id=f"d{n}"),
            offer_example(f"d{n}", offer=offer, label=redeemed, reward=earned, decision=f"d{n}"),
        ]
    keep(client, *messages)
    columns: list[Any] = [np.array(column) for column in zip(*log, strict=True)]
    actions, earned, redeemed, propensities, bests = columns
    for target, probability in (("highest score", np.eye(3)[bests]), ("at random", np.full((300, 3), 1 / 3))):
        by_reward, by_label = (
            evaluate(Log(actions, outcome.astype(float), propensities), probability, np.zeros((300, 3)))
            for outcome in (earned, redeemed)
        )
        asked = f"SELECT ips, snips, effective_n, redeemed, snips_error FROM policy_value WHERE target = '{target}'"
        ((*values, error),) = rows(client, asked)
        expected = (by_reward.ips.value, by_reward.snips.value, by_reward.ess, by_label.snips.value)
        assert values == pytest.approx(expected)
        weights = probability[np.arange(300), actions] / propensities
        off = weights * (earned - by_reward.snips.value)
        assert error == pytest.approx(np.sqrt((off**2).sum()) / weights.sum())


def test_a_first_slot_with_nothing_to_redeem_is_worth_nothing_and_an_open_one_is_not_judged(client: Any) -> None:
    informing, unripe = ranking("d1", slots=(slot(rewarded=False),)), ranking("d2", slots=(slot(),))
    keep(client, informing, unripe, click("c1", "impression"), click("c2", "impression", decision_id="d2"))
    assert rows(client, "SELECT n, ips FROM policy_value WHERE target = 'as logged'") == [(1, 0.0)]


def test_scores_are_judged_by_the_reward_that_they_foretell(client: Any) -> None:
    told = [(0.2, 0.0, False), (0.6, 0.9, True), (0.4, 0.3, False)]
    keep(client, *(offer_example(f"d{n}", score=p, reward=r, label=label) for n, (p, r, label) in enumerate(told)))
    loss = np.mean([-r * np.log(p) - (1 - r) * np.log(1 - p) for p, r, _ in told])
    for view in ("ranker_quality_by_day", "ranker_metrics WHERE label_age = 'all'"):
        found = rows(client, f"SELECT n, redeemed, auc, log_loss, expected, observed FROM {view}")
        assert found == [(3, 1, 1.0, pytest.approx(loss), pytest.approx(0.4), pytest.approx(0.4))]
    assert rows(client, "SELECT redeemed, mean_reward FROM reward_rate_by_day") == [(1, pytest.approx(0.4))]


def test_quality_is_unknown_while_nothing_was_redeemed(client: Any) -> None:
    keep(client, offer_example(), offer_example("prior", version=0))
    assert rows(client, "SELECT n, auc, round(log_loss, 4) FROM ranker_quality_by_day") == [(1, None, 0.5108)]


def simulated(world: World) -> list[Encoded]:
    """Return all that customers of a world and the pipeline of offers say to each other."""
    customers, engine, said = Customers(world, requests_per_day=0.5), Replay(offer_pipeline(Settings())), []
    until = round(world.start.timestamp() * 1000) + world.days * DAY
    while heard := next(customers.until(until), None):
        for record in (heard, *engine.step(heard)):
            customers.hear(record)
            said.append(Encoded(record.topic.name, record.topic.encode(record.message)))
    return [each for each in said if each.topic in TABLES]


def test_what_became_of_a_slot_is_what_the_ranker_learned_from(client: Any) -> None:
    asyncio.run(AnalyticsSink(client).write(simulated(World(seed=3, customers=20, terminals=30, days=14))))
    joined = "FROM v_rewards AS w LEFT JOIN v_impressions AS i USING (tenant, decision, offer)"
    assert rows(
        client, f"SELECT count() > 100, sum(label) > 30, sum(label = (viewed AND redeemed)) = count() {joined}"
    ) == [(True, True, True)]
    lasting = "toIntervalMillisecond(toInt64((window_end - event_time) * 1000))"
    over = f"rewarded AND shown_at + {lasting} < (SELECT max(matured_at) FROM v_rewards)"
    unlearned = "SELECT count() FROM v_impressions AS i LEFT ANTI JOIN v_rewards AS w USING (tenant, decision, offer)"
    assert rows(client, f"{unlearned} WHERE {over}") == [(0,)]


@pytest.fixture(scope="module")
def history(engine: Any) -> Any:
    keep(emptied(engine), *offer_history())
    return engine


REASON = "You spend 24.00 a week here; this returns 5.00 on 20.00"
DAYS = [date(2018, 7, 1 + n) for n in range(4)]
ANSWERS: dict[str, Any] = {
    "The funnel of each offer": [
        ("books", 40, 36, 1, 4, 1, 0.028),
        ("coffee", 36, 32, 12, 0, 12, 0.375),
        ("tea", 5, 4, 0, 0, 0, 0.0),
    ],
    "Rates by slot": [
        ("epsilon-greedy", 1, 36, 0.361, 0.0, 0.361, 0.5),
        ("epsilon-greedy", 2, 36, 0.0, 0.111, 0.0, 0.244),
    ],
    "Better than chance": [
        ("offers", "highest score", 36, 0.4286, 0.0935, 0.971, 0.972, 28.0, 0.4286),
        ("offers", "as logged", 36, 0.3611, 0.0801, 0.661, 1.0, 36.0, 0.3611),
        ("offers", "at random", 36, 0.2174, 0.0899, 0.0, 1.065, 15.7, 0.2174),
    ],
    "Lift of a challenger": [
        ("spring", "offers", "challenger", *("epsilon-greedy", "at random", 16, 16, 0.3125, 0.875, -0.251, 3.695)),
        (
            "spring",
            "offers",
            "challenger",
            *("epsilon-greedy", "epsilon-greedy", 16, 20, 0.3125, -0.219, -0.683, 0.928),
        ),
        ("spring", "offers", "champion", *("epsilon-greedy", "at random", 20, 20, 0.4, 0.0, 0.0, 0.0)),
        ("spring", "offers", "champion", *("epsilon-greedy", "epsilon-greedy", 20, 16, 0.4, 0.28, -0.481, 2.159)),
    ],
    "What abuse is expected to cost": [
        ("offers", day, "EUR", 20 + (day == DAYS[0]), 1, 0.05, 24.0 + 1.2 * (day == DAYS[0])) for day in DAYS
    ],
    "Quality of the ranker by day": [
        ("offers", day, 18, 3 + first, 0.7054 if first else 0.8333, 0.5341 if first else 0.4571, 0.372, observed)
        for day, first, observed in zip(DAYS, (1, 0, 0, 0), (0.222, 0.167, 0.167, 0.167), strict=True)
    ],
    "Budget pacing": [("coffee", "EUR", 100.0, 60.0, 0.6, 60.0, 1.0, 8.0)],
    "Why offers were refused": [("paused", 40, 5, ["wine"]), ("consent", 10, 5, ["gold"])],
    "Who ranks": [
        (DAYS[0], "epsilon-greedy", "model", 10, 0, 0, 3.0),
        (DAYS[0], "logged", "rules", 1, 1, 0, 3.0),
        *((day, "epsilon-greedy", "model", 10, 0, 0, 3.0) for day in DAYS[1:]),
    ],
    "Do customers tire of offers": [(0, 5, 72, 0.181)],
    "One decision, slot by slot": [
        (1, "coffee", 0.6, 0.8, REASON, [], False),
        (2, "books", 0.2, 0.5, REASON, [], False),
    ],
}


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answers_of_the_guide_are_right(history: Any, question: str) -> None:
    assert rows(history, QUERIES[question]) == ANSWERS[question]
