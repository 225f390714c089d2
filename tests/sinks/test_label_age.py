"""Rates, the arrival of labels and figures by their age, as ClickHouse tells them, against plain computations of it."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats
from sklearn.metrics import roc_auc_score

from schemas.results import Example, FraudScore
from tests.contracts.results import NOON, example, offer_example, score
from tests.sinks.analysts import DAY, keep, rows

FIRST = date(2018, 7, 1)


def test_a_rate_has_the_interval_of_wilson(client: Any) -> None:
    keep(client, *(offer_example(f"d{n}", label=n < 7) for n in range(40)), offer_example("a", model="other"))
    found = rows(client, "SELECT n, redeemed, rate, low, high FROM reward_rate_by_day ORDER BY n")
    for (n, redeemed, rate, low, high), (expected_n, expected) in zip(found, [(1, 0), (40, 7)], strict=True):
        interval = stats.binomtest(expected, expected_n).proportion_ci(method="wilson")
        assert (n, redeemed, rate) == (expected_n, expected, expected / expected_n)
        assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-4)


def payments(seed: int = 5, days: int = 30) -> Iterator[FraudScore | Example]:
    """Yield payments of which one in ten is a fraud that is told of 0 to 12 days later, and others mature in 7."""
    random = np.random.default_rng(seed)
    end = NOON + days * DAY
    for day in range(days):
        for n in range(50):
            name, at = f"{day}/{n}", NOON + day * DAY + n * 60_000
            yield score(name, event_time=at)
            delay = int(random.integers(0, 12 * DAY))
            fraud = n % 10 == 0
            if at + 7 * DAY <= end and (not fraud or delay > 7 * DAY):
                yield example(name, event_time=at, label=False, matured_at=at + 7 * DAY)
            if fraud and at + delay <= end:
                yield example(name, event_time=at, label=True, matured_at=at + delay, late=delay > 7 * DAY)


def test_labels_arrive_as_they_did_among_payments_that_are_old_enough(client: Any) -> None:
    given = list(payments())
    keep(client, *given)
    at = {each.event_id: each.event_time for each in given if isinstance(each, FraudScore)}
    told = {each.event_id: each.matured_at for each in given if isinstance(each, Example) and each.label}
    newest = max(at.values())
    rates = {}
    for age in range(30):
        old = [name for name, time in at.items() if newest - time >= age * DAY]
        if old:
            rates[age] = sum(name in told and told[name] - at[name] <= age * DAY for name in old) / len(old)
    found = rows(client, "SELECT age_days, rate, completeness FROM label_arrival ORDER BY age_days")
    assert [(age, rate) for age, rate, _ in found] == [(age, pytest.approx(rate)) for age, rate in rates.items()]
    assert found[-1][2] == 1
    assert found[3][2] == pytest.approx(rates[3] / rates[29])


def test_the_rate_of_frauds_is_of_all_payments_and_corrected_for_what_is_still_to_come(client: Any) -> None:
    keep(client, *payments())
    asked = "SELECT payments, known, frauds, rate, low, high, when_complete FROM label_rate_by_day ORDER BY day"
    found = rows(client, asked)
    assert [n for n, *_ in found] == [50] * 30
    first, young = found[0], found[-3]
    assert first[1:4] == (50, 5, 0.1)
    assert first[6] == pytest.approx(0.1)
    interval = stats.binomtest(young[2], 50).proportion_ci(method="wilson")
    assert young[4:6] == (pytest.approx(interval.low, abs=1e-4), pytest.approx(interval.high, abs=1e-4))
    assert young[1] == young[2] < 5
    as_it_is, corrected = (np.mean([row[place] for row in found[-10:-3]]) for place in (3, 6))
    assert as_it_is < 0.07
    assert corrected == pytest.approx(0.1, rel=0.4)


def test_a_label_that_was_corrected_is_still_known_as_it_was(client: Any) -> None:
    genuine, fraud = example(), example(label=True, late=True, matured_at=NOON + 20 * DAY)
    keep(client, genuine)
    keep(client, fraud, fraud)
    client.command("OPTIMIZE TABLE labels FINAL")
    asked = "SELECT label, toUnixTimestamp64Milli(matured_at) FROM v_label_history ORDER BY matured_at"
    assert rows(client, asked) == [(False, genuine.matured_at), (True, fraud.matured_at)]
    keep(client, offer_example(), offer_example(label=True, matured_at=NOON + 20 * DAY))
    assert rows(client, "SELECT label FROM v_reward_history ORDER BY matured_at") == [(False,), (True,)]


def known_at(given: Sequence[Example], age: int) -> dict[str, tuple[float, bool]]:
    """Return the score and the newest label of each decision, as they were so many days after it."""
    told: dict[str, Example] = {}
    for each in given:
        if each.matured_at - each.event_time <= age * DAY and (
            each.event_id not in told or told[each.event_id].matured_at < each.matured_at
        ):
            told[each.event_id] = each
    return {name: (each.score, each.label) for name, each in told.items()}


def test_figures_by_maturity_are_those_of_what_was_known_by_then(client: Any) -> None:
    given = [
        replace(each, score=int(each.event_id.split("/")[1]) * 7 % 50 / 50)
        for each in payments(days=40)
        if isinstance(each, Example)
    ]
    keep(client, *given)
    newest = max(each.matured_at for each in given)
    found = rows(client, "SELECT day, label_age_days, n, positives, auc FROM metrics_by_maturity")
    assert {age for _, age, *_ in found} == {1, 7, 14, 30}
    for day, age, n, positives, auc in found:
        start = NOON - DAY // 2 + (day - FIRST).days * DAY
        assert start + (1 + age) * DAY <= newest
        of_day = known_at([each for each in given if start <= each.event_time < start + DAY], age)
        ranks, labels = zip(*of_day.values(), strict=True)
        assert (n, positives) == (len(of_day), sum(labels))
        assert auc == (pytest.approx(roc_auc_score(labels, ranks)) if len(set(labels)) == 2 else None)


def test_a_rankers_quality_is_that_of_the_textbook_at_every_age_of_its_labels(client: Any) -> None:
    ranks = [(0.1, False), (0.4, False), (0.35, True), (0.8, True)]
    keep(client, *(offer_example(f"d{n}", score=rank, label=label) for n, (rank, label) in enumerate(ranks)))
    keep(client, offer_example("soon", matured_at=NOON + DAY - 1), offer_example("prior", version=0))
    asked = "SELECT label_age, n, redeemed, auc, average_precision FROM ranker_metrics ORDER BY label_age"
    seven, everything, soon = rows(client, asked)
    assert seven == ("7 to 30 days", 4, 2, 0.75, pytest.approx(0.8333, abs=1e-4))
    assert everything[:3] == ("all", 5, 2)
    assert soon == ("under 1 day", 1, 0, None, None)
