"""Lift, the pace of budgets and cohorts, as ClickHouse tells them, against plain computations of the same."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from schemas.topics import OFFERS
from sinks.base import Encoded
from tests.contracts.results import NOON, click, offer_example, offer_usage, ranking, slot, transaction
from tests.sinks.analysts import DAY, keep, rows

CHANCES = {"coffee": 0.6, "tea": 0.3, "books": 0.1}
RATES = {"coffee": 0.5, "tea": 0.3, "books": 0.2}


def first_slots(
    policy: str, chances: dict[str, float], n: int, seed: int, **trial: Any
) -> Iterator[tuple[str, float, bool, Any]]:
    """Yield the offer, propensity and outcome of decisions of one slot, and the messages that tell of each."""
    chance = random.Random(seed)
    for nth in range(n):
        offer = chance.choices(list(chances), list(chances.values()))[0]
        name, redeemed = f"{policy}-{seed}-{nth}", chance.random() < RATES[offer]
        shown = slot(offer, propensity=chances[offer])
        said = (
            ranking(name, slots=(shown,), policy=policy, **trial),
            click(f"c-{name}", "impression", offer=offer, decision_id=name),
            offer_example(name, offer=offer, label=redeemed, decision=name, policy=policy),
        )
        yield offer, chances[offer], redeemed, said


def test_lift_over_chance_and_its_interval_are_those_of_the_bootstrap(client: Any) -> None:
    given = list(first_slots("epsilon-greedy", CHANCES, 400, seed=1))
    keep(client, *(message for *_, said in given for message in said))
    asked = "SELECT rate, control_rate, lift, low, high FROM offer_lift WHERE control = 'at random'"
    ((rate, control_rate, lift, low, high),) = rows(client, asked)
    reward = np.array([redeemed for _, _, redeemed, _ in given], dtype=float)
    weight = np.array([1 / 3 / chance for _, chance, _, _ in given])
    assert rate == pytest.approx(reward.mean())
    assert control_rate == pytest.approx((weight * reward).sum() / weight.sum())
    assert lift == pytest.approx(rate / control_rate - 1)
    drawn = np.random.default_rng(2).integers(0, len(given), (4_000, len(given)))
    ratios = reward[drawn].mean(1) / ((weight * reward)[drawn].sum(1) / weight[drawn].sum(1)) - 1
    assert (low, high) == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.05)


def test_lift_over_another_policy_is_the_ratio_of_what_each_earned(client: Any) -> None:
    by_greedy = list(first_slots("greedy", CHANCES, 300, seed=3))
    by_chance = list(first_slots("uniform", dict.fromkeys(CHANCES, 1 / 3), 200, seed=4))
    keep(client, *(message for *_, said in (*by_greedy, *by_chance) for message in said))
    asked = "SELECT n, control_n, lift, low, high FROM offer_lift WHERE policy = 'greedy' AND control = 'uniform'"
    ((n, control_n, lift, low, high),) = rows(client, asked)
    greedy, uniform = (np.array([each[2] for each in given]) for given in (by_greedy, by_chance))
    assert (n, control_n) == (300, 200)
    assert lift == pytest.approx(greedy.mean() / uniform.mean() - 1)
    chance = np.random.default_rng(5)
    ratios = chance.choice(greedy, (4_000, n)).mean(1) / chance.choice(uniform, (4_000, control_n)).mean(1) - 1
    assert (low, high) == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.05)
    swapped = "SELECT lift FROM offer_lift WHERE policy = 'uniform' AND control = 'greedy'"
    assert rows(client, swapped) == [(pytest.approx(1 / (1 + lift) - 1),)]


def test_the_arms_of_a_trial_are_compared_by_its_decisions_alone(client: Any) -> None:
    even = dict.fromkeys(CHANCES, 1 / 3)
    outside = list(first_slots("greedy", {"coffee": 1.0}, 100, seed=6))
    champion = list(first_slots("greedy", CHANCES, 150, seed=7, trial="summer"))
    challenger = list(first_slots("uniform", even, 100, seed=8, trial="summer", arm="challenger"))
    keep(client, *(message for *_, said in (*outside, *champion, *challenger) for message in said))
    asked = "SELECT policy, arm, n, control_n, rate, control_rate, lift FROM offer_lift WHERE control != 'at random'"
    (ours,), (theirs,) = [
        rows(client, f"{asked} AND trial = '{trial}' AND policy = 'uniform'") for trial in ("summer", "")
    ]
    mine, within = (np.mean([each[2] for each in given]) for given in (challenger, champion))
    everything = np.mean([each[2] for each in (*champion, *outside)])
    assert ours == ("uniform", "challenger", 100, 150, *map(pytest.approx, (mine, within, mine / within - 1)))
    assert theirs == ("uniform", "", 100, 250, *map(pytest.approx, (mine, everything, mine / everything - 1)))
    by_chance = "SELECT arm, n FROM offer_lift WHERE control = 'at random' AND trial = 'summer' ORDER BY arm"
    assert rows(client, by_chance) == [("challenger", 100), ("champion", 150)]


def test_lift_is_of_what_was_earned(client: Any) -> None:
    chance = np.random.default_rng(9)
    earned, messages = {"greedy": chance.random(60), "uniform": chance.random(40) / 2}, []
    for policy, rewards in earned.items():
        for nth, reward in enumerate(rewards.tolist()):
            name = f"{policy}-{nth}"
            messages += [ranking(name, policy=policy), click(f"c-{name}", "impression", decision_id=name)]
            messages.append(offer_example(name, label=nth % 2 == 0, reward=reward, decision=name))
    keep(client, *messages)
    asked = "SELECT rate, lift, low, high FROM offer_lift WHERE policy = 'greedy' AND control = 'uniform'"
    ((rate, lift, low, high),) = rows(client, asked)
    greedy, uniform = earned.values()
    assert (rate, lift) == pytest.approx((greedy.mean(), greedy.mean() / uniform.mean() - 1))
    ratios = chance.choice(greedy, (4_000, 60)).mean(1) / chance.choice(uniform, (4_000, 40)).mean(1) - 1
    assert (low, high) == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.1)


def test_where_nothing_was_redeemed_there_is_no_lift(client: Any) -> None:
    keep(client, ranking(), click("c1", "impression"), offer_example())
    assert rows(client, "SELECT n, rate, lift, low FROM offer_lift") == [(1, 0.0, None, None)]


def text(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def entry(offer: str, told_at: int = NOON, **terms: Any) -> Encoded:
    entry = OFFERS.model(event_id=f"{offer}@{told_at}", event_time=text(told_at), offer=offer, **terms)
    return Encoded(OFFERS.name, OFFERS.encode(entry))


def test_a_budget_is_spent_ahead_of_its_plan_or_behind_it(client: Any) -> None:
    keep(
        client,
        entry("fast", budget="999.00", starts=text(NOON), ends=text(NOON + 10 * DAY)),
        entry("fast", NOON + 1, budget="100.00", starts=text(NOON), ends=text(NOON + 40 * DAY)),
        entry("slow", budget="100.00", ends=text(NOON + 20 * DAY)),
        entry("over", budget="100.00", starts=text(NOON - 9 * DAY), ends=text(NOON - DAY)),
        entry("open", budget="0.00"),
        entry("free"),
    )
    spent = {"fast": (20.0, 50.0), "slow": (5.0, 5.0), "over": (90.0, 90.0), "open": (0.0, 0.0), "free": (1.0, 2.0)}
    for offer, costs in spent.items():
        for n, cost in enumerate(costs):
            keep(client, offer_usage(n + 1, offer, spent=cost, event_time=NOON + (2 + 8 * n) * DAY))
    asked = "SELECT offer, spent, share, planned, pace, days_left FROM budget_pacing ORDER BY offer"
    assert rows(client, asked) == [
        ("fast", 50.0, 0.5, 25.0, 2.0, pytest.approx(50 / (30 / 7))),
        ("open", 0.0, None, None, None, None),
        ("over", 90.0, 0.9, 100.0, 0.9, None),
        ("slow", 5.0, 0.05, 50.0, 0.1, None),
    ]


def test_a_budget_has_again_what_was_taken_back(client: Any) -> None:
    keep(client, entry("coffee", budget="100.00", starts=text(NOON), ends=text(NOON + 10 * DAY)))
    for n, (spent, back) in enumerate([(60.0, 0), (80.0, 0), (30.0, 1)]):
        keep(
            client,
            offer_usage(10, "coffee", spent=spent, reversals=back, event_id=f"e{n}", event_time=NOON + n, views=n),
        )
    assert rows(client, "SELECT spent, share FROM budget_pacing") == [(30.0, 0.3)]


def test_cohorts_are_customers_by_their_first_week_and_what_they_do_after_it(client: Any) -> None:
    chance, done, messages = random.Random(6), defaultdict(list), []
    for n in range(400):
        user, day, kind = (
            f"u{chance.randrange(40)}",
            chance.randrange(60),
            chance.choice(("pay", "click", "redemption", "reversal")),
        )
        at = NOON + day * DAY
        done[user].append((at, kind))
        about = {"event_time": text(at), "user": user}
        messages.append(transaction(f"e{n}", **about) if kind == "pay" else click(f"e{n}", kind, **about))
    keep(client, *messages)
    expected: dict[tuple[date, int], list[Any]] = defaultdict(lambda: [set(), 0, 0, 0, 0])
    sizes: dict[date, int] = defaultdict(int)
    for user, events in done.items():
        first = min(at for at, _ in events)
        monday = datetime.fromtimestamp(first / 1000, UTC).date()
        monday -= timedelta(monday.weekday())
        sizes[monday] += 1
        for at, kind in events:
            week = expected[monday, (at - first) // (7 * DAY)]
            week[0].add(user)
            week[1 + ("pay", "click", "redemption", "reversal").index(kind)] += 1
    counts = "payments, clicks, redemptions, reversals"
    asked = f"SELECT cohort, week, customers, active, {counts}, retention FROM cohorts ORDER BY ALL"
    assert rows(client, asked) == [
        (cohort, week, sizes[cohort], len(users), *counts, pytest.approx(len(users) / sizes[cohort]))
        for (cohort, week), (users, *counts) in sorted(expected.items())
    ]
