"""The drift of features and scores, as ClickHouse tells it, against plain computations of the same."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from schemas.offer_results import Ranking
from schemas.results import FraudScore
from sinks.feature_names import keep_feature_names
from tests.contracts.results import NOON, ranking, score, slot
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
    keep_feature_names(client, {"card.1": ("amount",), "other": ("a", "b")})
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
