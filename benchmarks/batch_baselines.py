"""Batch models on exported features, by the handbook's protocol: what retraining would have scored on the same days.

Logistic regression, a random forest and XGBoost train once a test week, as the handbook does: on the seven days that
end ``delay_days`` before the first test day. LightGBM is fitted anew every night on all that has matured by then.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier  # type: ignore[import-untyped]
from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]
from xgboost import XGBClassifier

from processors.evaluation import handbook_metrics

Column = npt.NDArray[Any]
Metrics = dict[str, float]

TRAIN_DAYS = 7
WEEK = 7
DAY_MS = 86_400_000
NOT_FEATURES = ("event_id", "event_time", "customer", "label", "score")


@dataclass(frozen=True)
class Examples:
    """Columns of one length, and their features as a matrix.

    ``day`` counts from 1970-01-01 in UTC. ``score`` is the exported one, or None where there is none.
    """

    day: Column
    customer: Column
    label: Column
    features: npt.NDArray[np.float32]
    score: Column | None


@dataclass(frozen=True)
class Period:
    """The test days ``first_day … first_day + days - 1``, and how many days a label takes to arrive."""

    first_day: int
    days: int
    delay_days: int

    def weeks(self) -> list[Period]:
        """Return the period cut into weeks, the last one possibly shorter."""
        last = self.first_day + self.days
        starts = range(self.first_day, last, WEEK)
        return [Period(start, min(WEEK, last - start), self.delay_days) for start in starts]


def compare(examples: Examples, period: Period) -> dict[str, Metrics]:
    """Return the handbook's metrics of every model on the test days; ``headrace`` is the exported score's."""
    scores = {name: trained_once(examples, period, build) for name, build in BATCH_MODELS.items()}
    scores["lightgbm_nightly"] = refitted_nightly(examples, period)
    if examples.score is not None:
        scores["headrace"] = examples.score
    return {name: metrics_of(examples, period, score) for name, score in scores.items()}


def compare_by_week(examples: Examples, period: Period) -> dict[str, Metrics]:
    """Return the mean over the period's weeks of each model's metrics, each week by the protocol on its own."""
    weeks = [compare(examples, week) for week in period.weeks()]
    return {
        name: {metric: float(np.mean([week[name][metric] for week in weeks])) for metric in metrics}
        for name, metrics in weeks[0].items()
    }


def metrics_of(examples: Examples, period: Period, score: Column) -> Metrics:
    """Return the handbook's metrics of one score a row."""
    return handbook_metrics(
        examples.day,
        examples.customer,
        examples.label,
        score,
        first_day=period.first_day,
        days=period.days,
        delay_days=period.delay_days,
    )


def trained_once(examples: Examples, period: Period, build: Callable[[], Any]) -> Column:
    """Return the scores of a model trained on the handbook's week; nan outside the test days."""
    until = period.first_day - period.delay_days
    train = (examples.day >= until - TRAIN_DAYS) & (examples.day < until)
    test = (examples.day >= period.first_day) & (examples.day < period.first_day + period.days)
    return fit_and_score(examples, train, test, build())


def refitted_nightly(examples: Examples, period: Period) -> Column:
    """Return the scores of a LightGBM that learns at midnight from every day matured by then."""
    scores = np.full(len(examples.day), np.nan)
    for today in range(period.first_day, period.first_day + period.days):
        test = examples.day == today
        if test.any():
            train = examples.day < today - period.delay_days
            scores[test] = fit_and_score(examples, train, test, nightly_lightgbm())[test]
    return scores


def fit_and_score(examples: Examples, train: Column, test: Column, model: Any) -> Column:
    """Return the fraud probability of the test rows, nan elsewhere. Raises ValueError without frauds to learn."""
    if not examples.label[train].any():
        raise ValueError(f"no fraud among the {int(train.sum())} rows to train on")
    scores = np.full(len(examples.day), np.nan)
    model.fit(examples.features[train], examples.label[train])
    with warnings.catch_warnings():
        # scikit-learn warns of LightGBM models fitted on arrays, whose columns LightGBM names itself
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        scores[test] = model.predict_proba(examples.features[test])[:, 1]
    return scores


def nightly_lightgbm() -> Any:
    """Return an unfitted LightGBM: slow learning, leaves wide enough for one fraud in a hundred."""
    return LGBMClassifier(
        n_estimators=200,
        learning_rate=0.05,
        min_child_samples=100,
        random_state=0,
        n_jobs=1,
        verbose=-1,
    )


BATCH_MODELS: dict[str, Callable[[], Any]] = {
    "logistic_regression": lambda: make_pipeline(
        SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1_000, random_state=0),
    ),
    "random_forest": lambda: RandomForestClassifier(random_state=0, n_jobs=2),
    "xgboost": lambda: XGBClassifier(random_state=0, n_jobs=2),
}


def read_examples(path: Path) -> Examples:
    """Read a Parquet file of event_id, event_time, customer, label, an optional score, and features.

    ``event_time`` is a timestamp or milliseconds since 1970; every further column is a feature, a missing value nan.
    """
    table = pq.read_table(path)
    time = table["event_time"]
    milliseconds = (
        time.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()) if pa.types.is_timestamp(time.type) else time
    )
    names = [name for name in table.column_names if name not in NOT_FEATURES]
    return Examples(
        day=milliseconds.to_numpy() // DAY_MS,
        customer=pc.dictionary_encode(table["customer"]).combine_chunks().indices.to_numpy(),
        label=table["label"].cast(pa.int8()).to_numpy(),
        features=np.column_stack([table[name].cast(pa.float32(), safe=False).to_numpy() for name in names]),
        score=table["score"].to_numpy() if "score" in table.column_names else None,
    )
