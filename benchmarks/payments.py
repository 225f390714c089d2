"""Payments without end for the benchmarks of load: generated, in time order, with the chargebacks they lead to."""

from __future__ import annotations

import random
from collections import deque

import orjson

from benchmarks.latency import Due
from benchmarks.transactions import FIRST_MS, LABEL_DELAY_MS, Message, is_fraud
from schemas.topics import FEEDBACK, TRANSACTIONS
from streams.chaos.ledger import Letter


class Payments:
    """Draws payments of so many customers at so many terminals, `gap_ms` apart on average; seeded.

    One in a hundred is fraud, for which a chargeback comes a week later in event time.
    """

    def __init__(self, customers: int = 5_000, terminals: int = 10_000, gap_ms: float = 60_000.0) -> None:
        self.sent = 0
        self.now = float(FIRST_MS)
        self._sizes = customers, terminals
        self._gap_ms = gap_ms
        self._draw = random.Random(customers)
        self._known: deque[tuple[float, Message]] = deque()

    def take(self, count: int) -> list[Due]:
        """Return the next so many, each with the feedback that became known before it."""
        return [self._next() for _ in range(count)]

    def letters(self, count: int) -> list[Letter]:
        """Return the next so many as messages, whose ids are those of payments only."""
        found = []
        for due in self.take(count):
            found += [Letter(FEEDBACK.name, key.decode(), value, None) for key, value in due.feedback]
            key, value = due.transaction
            found.append(Letter(TRANSACTIONS.name, key.decode(), value, orjson.loads(value)["event_id"]))
        return found

    def _next(self) -> Due:
        customers, terminals = self._sizes
        self.now += self._draw.expovariate(1 / self._gap_ms)
        feedback = []
        while self._known and self._known[0][0] <= self.now:
            feedback.append(self._known.popleft()[1])
        event_id, user = str(self.sent), f"c{self._draw.randrange(customers)}"
        self.sent += 1
        payment = {
            "event_id": event_id,
            "user": user,
            "terminal": f"t{self._draw.randrange(terminals)}",
            "amount": round(self._draw.lognormvariate(3.5, 1.0), 2),
            "currency": "EUR",
            "event_time": round(self.now),
        }
        if is_fraud(event_id):
            at = self.now + LABEL_DELAY_MS
            told = {"about": event_id, "event_time": round(at), "kind": "chargeback"}
            self._known.append((at, (event_id.encode(), orjson.dumps(told))))
        return Due((user.encode(), orjson.dumps(payment)), feedback)
