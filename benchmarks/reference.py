"""The work that every contestant does: one card transaction over two hops, customer then terminal.

Windows are exponentially decayed: a window of w days weighs an event of age a days by exp(-a / w), which in a steady
stream expects the same count as a sliding window of w days and needs two numbers. States are flat tuples of
floats; a list read back from JSON does as well.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import orjson
from river import linear_model, preprocessing

State = Sequence[float]

DAY_MS = 86_400_000
WINDOW_DAYS = (1, 7, 30)
FEATURES = (
    "customer_count_1d",
    "customer_mean_1d",
    "customer_count_7d",
    "customer_mean_7d",
    "customer_count_30d",
    "customer_mean_30d",
    "terminal_count",
    "terminal_mean",
)
LEARN_ONE_IN = 10
FRAUD_ONE_IN = 50

parse = orjson.loads
encode = orjson.dumps


def customer_step(state: State | None, event: dict[str, Any]) -> tuple[State, dict[str, Any]]:
    """Return the customer's next state, and the event with its six customer features, to re-key by terminal.

    The state is the latest event time in milliseconds, then a decayed count and a decayed sum of amounts for each
    window; features include the event itself. An event older than the state is counted as if it were now.
    """
    now, amount = event["event_time"], event["amount"]
    latest, *totals = state or (now, *(0.0,) * (2 * len(WINDOW_DAYS)))
    elapsed_days = max(0.0, (now - latest) / DAY_MS)
    features: list[float] = []
    for i, days in enumerate(WINDOW_DAYS):
        kept = math.exp(-elapsed_days / days)
        count = totals[2 * i] * kept + 1.0
        total = totals[2 * i + 1] * kept + amount
        totals[2 * i : 2 * i + 2] = count, total
        features += count, total / count
    enriched = {**event, "features": features}
    return (max(now, latest), *totals), enriched


class TerminalStep:
    """The second hop: a terminal's two features, then a score by a model that learns from one event in ten.

    The model is River's standard scaler and logistic regression, one per process. The label that it learns is
    decided by the event id, so that it is the same for every contestant and needs no second topic.
    """

    def __init__(self) -> None:
        self._model = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def step(self, state: State | None, enriched: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        """Return the terminal's next state (count, sum of amounts) and the scored result to produce."""
        count, total = state or (0.0, 0.0)
        count, total = count + 1.0, total + enriched["amount"]
        vector = [*enriched["features"], count, total / count]
        x = dict(zip(FEATURES, vector, strict=True))
        result = {
            "event_id": enriched["event_id"],
            "user": enriched["user"],
            "terminal": enriched["terminal"],
            "event_time": enriched["event_time"],
            "score": self._model.predict_proba_one(x)[True],
            "features": vector,
        }
        drawn = zlib.crc32(enriched["event_id"].encode())
        if drawn % LEARN_ONE_IN == 0:
            self._model.learn_one(x, drawn // LEARN_ONE_IN % FRAUD_ONE_IN == 0)
        return (count, total), result
