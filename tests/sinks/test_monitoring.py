"""Drift, rates and the clock of labels, as ClickHouse tells them, against plain computations of the same."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats
from sklearn.metrics import roc_auc_score

from schemas.offer_results import Ranking
from schemas.results import Example, FraudScore
from tests.contracts.results import NOON, example, offer_example, ranking, score, slot
from tests.sinks.analysts import DAY, keep, rows

FIRST = date(2018, 7, 1)
DAYS, A_DAY, CHANGED_ON = 36, 40, 30


def vectors(seed: int = 1) -> Iterator[tuple[int, tuple[float | None, ...]]]:
    """Yield days with vectors of one number that shifts, one of few values, one often missing and one soon missing."""
    random = np.random.default_rng(seed)
    for day in range(DAYS):
        for _ in range(A_DAY):
            changed = day >= CHANGED_ON
            shifting = float(random.normal() + changed)
            missing = None if random.random() < 0.3 else float(random.exponential())
            yield day, (shifting, float(random.integers(0, 3)), missing, None if changed else float(random.random()))


def stability(day: Sequence[float | None], reference: Sequence[float | None]) -> float:
    """Return the population stability index as the view's comment defines it."""
    known = np.sort([value for value in reference if value is not None])
    edges = (
        np.unique([known[int(np.ceil(len(known) * tenth / 10)) - 1] for tenth in range(1, 10)]) if len(known) else []
    )
    size = len(edges) + 2

    def counts(values: Sequence[float | None]) -> Any:
        bins = [0 if value is None else 1 + int(np.searchsorted(edges, value)) for value in values]
        return np.bincount(bins, minlength=size)

    q = (counts(reference) + 0.5) / (len(reference) + size / 2)
    p = (counts(day) + q) / (len(day) + 1)
    return float(((p - q) * np.log(p / q)).sum())


def test_the_drift_of_features_is_their_population_stability_index(client: Any) -> None:
    given = list(vectors())
    keep(client, *(score(f"e{n}", event_time=NOON + day * DAY, vector=x) for n, (day, x) in enumerate(given)))
    found = rows(client, "SELECT position, day, n, missing, psi FROM feature_drift_by_day ORDER BY position, day")
    assert len(found) == 4 * DAYS
    for position, day, n, missing, psi in found:
        values = [x[position - 1] for at, x in given if at == (day - FIRST).days]
        reference = [x[position - 1] for at, x in given if at < 28]
        assert (n, missing) == (A_DAY, values.count(None))
        assert psi == pytest.approx(stability(values, reference), rel=1e-9)


def test_a_feature_that_shifts_or_vanishes_stands_out_and_the_others_do_not(client: Any) -> None:
    keep(client, *(score(f"e{n}", event_time=NOON + day * DAY, vector=x) for n, (day, x) in enumerate(vectors())))
    late = f"day >= '{FIRST + timedelta(CHANGED_ON)}'"
    told = dict(
        rows(client, f"SELECT position, avg(psi / by_chance) FROM feature_drift_by_day WHERE {late} GROUP BY 1")
    )
    assert told[1] > 2.5
    assert told[4] > 10
    assert max(told[2], told[3]) < 2


def test_without_change_the_index_is_as_high_as_chance_makes_it(client: Any) -> None:
    random = np.random.default_rng(7)
    given = [(day, tuple(random.normal(size=5).tolist())) for day in range(40) for _ in range(100)]
    keep(client, *(score(f"e{n}", event_time=NOON + day * DAY, vector=x) for n, (day, x) in enumerate(given)))
    asked = f"SELECT avg(psi), avg(by_chance) FROM feature_drift_by_day WHERE day >= '{FIRST + timedelta(28)}'"
    ((psi, by_chance),) = rows(client, asked)
    assert psi == pytest.approx(by_chance, rel=0.25)


def test_the_vectors_of_rankings_drift_too_each_set_of_features_by_itself(client: Any) -> None:
    made = [
        ranking(f"d{n}", event_time=NOON + day * DAY, slots=(slot(vector=x),)) for n, (day, x) in enumerate(vectors())
    ]
    keep(client, *made, score(vector=(1.0,)), score("e2", features="card.2", event_time=NOON + 40 * DAY, vector=(5.0,)))
    asked = "SELECT features, count(), max(day) - min(day) FROM feature_drift_by_day GROUP BY 1 ORDER BY 1"
    assert rows(client, asked) == [("card.1", 1, 0), ("card.2", 1, 0), ("offer.1", 4 * DAYS, DAYS - 1)]


def test_features_have_their_names_where_they_are_known(client: Any) -> None:
    keep(client, score(vector=(1.0, 2.0)), ranking(slots=(slot(vector=(3.0,)),)))
    client.command("INSERT INTO feature_sets VALUES ('card.1', ['amount'])")
    asked = "SELECT feature FROM feature_drift_by_day ORDER BY features, position"
    assert rows(client, asked) == [("amount",), ("2",), ("1",)]


def scored(seed: int = 3) -> dict[str, list[tuple[int, float]]]:
    """Return the days and scores of models: one steady, one that shifts, one of few values."""
    random, told = np.random.default_rng(seed), defaultdict(list)
    for day in range(DAYS):
        for _ in range(A_DAY):
            told["fraud"].append((day, float(random.random() ** 3)))
            told["shadow"].append((day, float(random.random() ** (3 if day < CHANGED_ON else 1))))
            told["offers"].append((day, float(random.integers(0, 4)) / 10))
    return told


def decisions(told: dict[str, list[tuple[int, float]]]) -> Iterator[FraudScore | Ranking]:
    for n, ((day, given), (_, shadow), (_, ranked)) in enumerate(zip(*told.values(), strict=True)):
        at = NOON + day * DAY
        shadowed = {"shadow": {"shadow": shadow, "new": 0.5}, "shadow_versions": {"shadow": 2, "new": 0}}
        yield score(f"e{n}", event_time=at, score=given, **shadowed)
        yield ranking(f"d{n}", event_time=at, scores=(ranked,), candidates=("coffee",), slots=())
    yield score("by rules", event_time=NOON, score=1.0, version=0)


def test_the_drift_of_scores_is_that_of_scipy_and_of_a_plain_index(client: Any) -> None:
    told = scored()
    keep(client, *decisions(told))
    found = rows(client, "SELECT model, day, n, mean, psi, ks FROM score_drift_by_day")
    assert len(found) == 3 * DAYS
    for model, day, n, mean, psi, ks in found:
        values = np.array([given for at, given in told[model] if at == (day - FIRST).days])
        reference = np.sort([given for at, given in told[model] if at < 28])
        assert (n, mean) == (A_DAY, pytest.approx(values.mean()))
        assert ks == pytest.approx(stats.ks_2samp(values, reference).statistic)
        q, p = (
            np.bincount(np.minimum(10 * np.searchsorted(reference, each) // len(reference), 9), minlength=10)
            for each in (reference, values)
        )
        q = (q + 0.5) / (len(reference) + 5)
        p = (p + q) / (A_DAY + 1)
        assert psi == pytest.approx(((p - q) * np.log(p / q)).sum())


def test_a_model_whose_scores_shift_exceeds_what_chance_makes(client: Any) -> None:
    keep(client, *decisions(scored()))
    late = f"day >= '{FIRST + timedelta(CHANGED_ON)}'"
    asked = f"SELECT model, avg(ks > ks_by_chance) FROM score_drift_by_day WHERE {late} GROUP BY model ORDER BY model"
    assert rows(client, asked) == [("fraud", 0.0), ("offers", 0.0), ("shadow", 1.0)]


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
