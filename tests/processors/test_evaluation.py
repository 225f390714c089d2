"""The handbook's protocol, against a naive oracle, scikit-learn, and days small enough to read."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from processors.evaluation import (
    card_precision,
    handbook_metrics,
    known_compromised,
    scored_rows,
)

FIRST_DAY, DAYS, DELAY = 14, 3, 7


@dataclass(frozen=True)
class Row:
    day: int
    customer: str
    label: int = 0
    score: float = 0.0


def columns(rows: list[Row]) -> tuple[Any, Any, Any, Any]:
    return (
        np.array([row.day for row in rows], dtype=np.int64),
        np.array([row.customer for row in rows], dtype=np.str_),
        np.array([row.label for row in rows], dtype=np.int8),
        np.array([row.score for row in rows], dtype=np.float64),
    )


def naive_kept(rows: list[Row]) -> list[Row]:
    """Return the rows the protocol scores, by asking of every row whether its customer was known."""
    return [
        row
        for row in rows
        if FIRST_DAY <= row.day < FIRST_DAY + DAYS
        and not any(
            past.label and past.customer == row.customer and FIRST_DAY - 14 <= past.day <= row.day - 8 for past in rows
        )
    ]


def naive_card_precision(rows: list[Row], k: int) -> float:
    """Return card precision by one dictionary of customers a day."""
    found: set[str] = set()
    shares = []
    for day in sorted({row.day for row in rows}):
        highest: dict[str, float] = defaultdict(lambda: -math.inf)
        defrauded = set()
        for row in rows:
            if row.day == day and row.customer not in found:
                highest[row.customer] = max(highest[row.customer], row.score)
                if row.label:
                    defrauded.add(row.customer)
        top = sorted(highest, key=lambda customer: (-highest[customer], customer))[:k]
        caught = defrauded.intersection(top)
        shares.append(len(caught) / k)
        found |= caught
    return sum(shares) / len(shares)


rows_of_a_stream = st.lists(
    st.builds(
        Row,
        day=st.integers(0, 18),
        customer=st.sampled_from("abcdefgh"),
        label=st.sampled_from([0, 0, 0, 1]),
        score=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]),
    ),
    min_size=1,
    max_size=120,
)


@given(rows_of_a_stream, st.integers(1, 5))
def test_the_protocol_equals_its_naive_oracle(rows: list[Row], k: int) -> None:
    kept = naive_kept(rows)
    period = {"first_day": FIRST_DAY, "days": DAYS, "delay_days": DELAY}
    if not kept:
        with pytest.raises(ValueError, match="no transactions to score on days 14 to 16"):
            handbook_metrics(*columns(rows), **period, k=k)
        return
    metrics = handbook_metrics(*columns(rows), **period, k=k)
    assert metrics["n"] == len(kept)
    assert metrics["frauds"] == sum(row.label for row in kept)
    assert metrics[f"card_precision_{k}"] == pytest.approx(naive_card_precision(kept, k))


def test_a_metric_without_its_class_is_not_a_number() -> None:
    genuine = columns([Row(FIRST_DAY, "a", 0, 0.1), Row(FIRST_DAY, "b", 0, 0.2)])
    metrics = handbook_metrics(*genuine, first_day=FIRST_DAY, days=DAYS, delay_days=DELAY)
    assert math.isnan(metrics["auc"])
    assert math.isnan(metrics["average_precision"])
    nobody = np.zeros(0)
    assert math.isnan(card_precision(nobody, nobody, nobody, nobody))


def test_ranking_metrics_are_those_of_scikit_learn() -> None:
    rows = [Row(FIRST_DAY, f"c{n}", n % 7 == 0, (n * 37 % 20) / 20) for n in range(200)]
    _, _, label, score = columns(rows)
    metrics = handbook_metrics(*columns(rows), first_day=FIRST_DAY, days=1, delay_days=DELAY)
    assert metrics["auc"] == pytest.approx(roc_auc_score(label, score))
    assert metrics["average_precision"] == pytest.approx(average_precision_score(label, score))


def test_a_customer_is_known_from_the_training_week_until_eight_days_before() -> None:
    rows = [Row(-1, "before", 1), Row(0, "first", 1), Row(6, "last", 1), Row(7, "late", 1), Row(3, "genuine")]
    day, customer, label, _ = columns(rows)
    assert list(known_compromised(day, customer, label, since=0, until=6)) == ["first", "last"]


def test_a_customer_becomes_known_the_day_the_label_has_arrived() -> None:
    fraud = Row(7, "a", 1)
    rows = [fraud, *(Row(day, "a") for day in (14, 15, 16))]
    day, customer, label, _ = columns(rows)
    kept = scored_rows(day, customer, label, first_day=FIRST_DAY, days=DAYS, delay_days=DELAY)
    assert list(day[kept]) == [14]


def test_a_customer_found_once_makes_room_for_the_next() -> None:
    first = [Row(1, "a", 1, 0.9), Row(1, "b", 0, 0.8)]
    second = [Row(2, "a", 1, 0.9), Row(2, "b", 0, 0.1), Row(2, "c", 1, 0.8)]
    assert card_precision(*columns(first + second), k=1) == 1.0
    assert card_precision(*columns(second), k=1) == 1.0


def test_a_customer_not_found_is_ranked_again() -> None:
    missed = [Row(1, "a", 1, 0.1), Row(1, "b", 0, 0.8)]
    caught = [Row(2, "a", 1, 0.9), Row(2, "b", 0, 0.8)]
    assert card_precision(*columns(missed + caught), k=1) == 0.5


def test_a_day_with_few_customers_is_still_measured_against_k() -> None:
    assert card_precision(*columns([Row(1, "a", 1, 0.9)]), k=100) == 0.01


def test_the_order_of_rows_changes_nothing() -> None:
    random = np.random.default_rng(3)
    rows = [
        Row(int(day), f"c{customer}", int(label), float(score))
        for day, customer, label, score in zip(
            random.integers(0, 17, 500),
            random.integers(0, 60, 500),
            random.random(500) < 0.1,
            random.random(500),
            strict=True,
        )
    ]
    period = {"first_day": FIRST_DAY, "days": DAYS, "delay_days": DELAY, "k": 10}
    assert handbook_metrics(*columns(rows), **period) == pytest.approx(handbook_metrics(*columns(rows[::-1]), **period))


def test_a_score_that_is_not_a_number_is_refused_only_where_it_is_read() -> None:
    rows = [Row(2, "a", 0, math.nan), Row(14, "b", 1, 0.5), Row(14, "c", 0, 0.2)]
    period = {"first_day": FIRST_DAY, "days": DAYS, "delay_days": DELAY}
    assert handbook_metrics(*columns(rows), **period)["auc"] == 1.0
    with pytest.raises(ValueError, match="1 scores on the test days are not numbers"):
        handbook_metrics(*columns([*rows, Row(15, "d", 0, math.nan)]), **period)
