"""How good a fraud score is, by the protocol of the Fraud Detection Handbook.

Every function takes columns of equal length, one row a transaction: ``day`` counts whole days from any
origin, ``customer`` is any sortable identifier, ``label`` is truthy where the transaction is fraud, ``score``
is higher where it is more suspicious.
"""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from online_models.metrics import average_precision, roc_auc

Column = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

TRAINING_DAYS = 7


def handbook_metrics(
    day: Column,
    customer: Column,
    label: Column,
    score: Column,
    *,
    first_day: int,
    days: int,
    delay_days: int,
    k: int = 100,
) -> dict[str, float]:
    """Return the handbook's metrics over the test days ``first_day … first_day + days - 1``.

    The keys are ``n``, ``frauds``, ``auc``, ``average_precision`` and ``card_precision_<k>``. Rows may come
    in any order; those before the test days only tell which customers were known as defrauded, and their
    scores are not read. ``delay_days`` is how long a label takes to arrive. Raises ValueError when nothing is
    left to score, or when a score on a test day is not a number.
    """
    kept = scored_rows(day, customer, label, first_day=first_day, days=days, delay_days=delay_days)
    day, customer, label, score = day[kept], customer[kept], label[kept].astype(bool), score[kept]
    if not len(day):
        raise ValueError(f"no transactions to score on days {first_day} to {first_day + days - 1}")
    if np.isnan(score).any():
        raise ValueError(f"{int(np.isnan(score).sum())} scores on the test days are not numbers")
    return {
        "n": len(day),
        "frauds": int(label.sum()),
        "auc": _number(roc_auc(label, score)),
        "average_precision": _number(average_precision(label, score)),
        f"card_precision_{k}": card_precision(day, customer, label, score, k),
    }


def scored_rows(day: Column, customer: Column, label: Column, *, first_day: int, days: int, delay_days: int) -> Mask:
    """Return the mask of test-day rows whose customer is not yet known as defrauded.

    On each test day those are known who had a fraud dated from ``delay_days + 7`` days before the first test
    day (the handbook's training week, then its delay) up to ``delay_days + 1`` days before the day scored.
    """
    kept = np.zeros(len(day), dtype=bool)
    since = first_day - delay_days - TRAINING_DAYS
    for scored in range(first_day, first_day + days):
        known = known_compromised(day, customer, label, since=since, until=scored - delay_days - 1)
        today = np.flatnonzero(day == scored)
        kept[today] = ~np.isin(customer[today], known)
    return kept


def known_compromised(day: Column, customer: Column, label: Column, *, since: int, until: int) -> Column:
    """Return the distinct customers with a fraud dated on the days ``since … until``, both included."""
    return np.unique(customer[(day >= since) & (day <= until) & label.astype(bool)])


def card_precision(day: Column, customer: Column, label: Column, score: Column, k: int = 100) -> float:
    """Return the share of defrauded customers among each day's ``k`` most suspicious, averaged over the days.

    A customer ranks by the day's highest score and counts as defrauded by any fraud of that day; once found,
    later days no longer rank them. The share is of ``k`` even on a day with fewer customers. Ties rank by
    customer.
    """
    found = customer[:0]
    shares = []
    for today in np.unique(day):
        rows = np.flatnonzero(day == today)
        rows = rows[~np.isin(customer[rows], found)]
        cards, card_of_row = np.unique(customer[rows], return_inverse=True)
        highest = np.full(len(cards), -np.inf)
        np.maximum.at(highest, card_of_row, score[rows])
        defrauded = np.bincount(card_of_row[label[rows].astype(bool)], minlength=len(cards)) > 0
        top = np.argsort(-highest, kind="stable")[:k]
        caught = cards[top][defrauded[top]]
        shares.append(len(caught) / k)
        found = np.concatenate([found, caught])
    return float(np.mean(shares)) if shares else float("nan")


def _number(measure: float | None) -> float:
    return nan if measure is None else measure
