"""Batch models beside headrace: what they may learn from, and on which days they are judged."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

for peer in ("lightgbm", "xgboost", "sklearn"):
    pytest.importorskip(peer, reason="the peers are not installed: uv sync --all-groups")

from benchmarks.baselines import baselines  # noqa: E402
from benchmarks.batch_baselines import Examples, Period, compare, compare_by_week, refitted_nightly  # noqa: E402
from benchmarks.drift import drift, figures, over_seeds  # noqa: E402
from streams.evaluation import Protocol  # noqa: E402
from streams.simulator import World  # noqa: E402

DAYS, PER_DAY = 30, 60


def examples() -> Examples:
    """Thirty days in which one feature tells fraud, and the exported score is that feature."""
    chance = np.random.default_rng(7)
    day = np.repeat(np.arange(DAYS), PER_DAY)
    label = (chance.random(len(day)) < 0.2).astype(np.int8)
    telling = label + chance.normal(0, 0.2, len(day))
    features = np.column_stack([telling, chance.normal(size=len(day))]).astype(np.float32)
    return Examples(day, np.arange(len(day)), label, features, telling)


def test_a_nightly_model_learns_only_what_has_matured() -> None:
    known = examples()
    changed = known.label.copy()
    changed[known.day >= 23 - 7] ^= 1
    period = Period(first_day=23, days=1, delay_days=7)
    young_labels_differ = Examples(known.day, known.customer, changed, known.features, None)
    assert np.array_equal(
        refitted_nightly(known, period), refitted_nightly(young_labels_differ, period), equal_nan=True
    )


def test_a_nightly_model_scores_the_test_days_and_no_other() -> None:
    known = examples()
    scored = ~np.isnan(refitted_nightly(known, Period(first_day=20, days=2, delay_days=7)))
    assert set(known.day[scored]) == {20, 21}
    assert scored.sum() == 2 * PER_DAY


def test_nothing_is_learned_without_fraud() -> None:
    known = examples()
    genuine = Examples(known.day, known.customer, known.label * 0, known.features, None)
    with pytest.raises(ValueError, match="no fraud among the 780 rows"):
        refitted_nightly(genuine, Period(first_day=20, days=1, delay_days=7))


def test_every_model_is_judged_beside_the_exported_score() -> None:
    found = compare(examples(), Period(first_day=23, days=7, delay_days=7))
    assert set(found) == {"logistic_regression", "random_forest", "xgboost", "lightgbm_nightly", "headrace"}
    assert all(metrics["auc"] > 0.95 for metrics in found.values())


def test_weeks_are_judged_on_their_own_and_averaged() -> None:
    known, period = examples(), Period(first_day=16, days=14, delay_days=7)
    weeks = [compare(known, week)["headrace"]["auc"] for week in period.weeks()]
    assert compare_by_week(known, period)["headrace"]["auc"] == pytest.approx(np.mean(weeks))


def test_vectors_that_end_before_the_test_days_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.parquet"
    days = [datetime(2018, 7, day, tzinfo=UTC) for day in range(1, 31)]
    columns = {"event_id": days, "event_time": days, "customer": ["c"] * 30, "amount": [1.0] * 30, "label": [True] * 30}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(RuntimeError, match="ends before the last test day"):
        baselines(Protocol(datetime(2018, 7, 25)), path)


def test_figures_over_seeds_are_the_mean_and_the_lowest() -> None:
    assert over_seeds([{"auc": 0.5}, {"auc": 0.75}]) == {"auc": 0.625, "lowest_auc": 0.5}


def test_figures_need_both_classes() -> None:
    with pytest.raises(ValueError, match="the world is too small"):
        figures(np.zeros(3), np.zeros(3))


def test_a_world_without_a_model_by_its_first_third_is_refused() -> None:
    with pytest.raises(ValueError, match="no model was published"):
        drift((1,), World(customers=40, terminals=60, days=12))
