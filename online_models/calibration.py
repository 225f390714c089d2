"""From a raw score to a probability that can be taken at its word, learned online."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise

import msgspec
import numpy as np

from online_models.base import Vector

EDGES = tuple(np.linspace(-10.0, 6.0, 33).tolist())
"""Bounds of the bins of the map, in log-odds of the raw score."""
TABLE_EDGES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Bounds of the rows of the reliability table, as probabilities."""
FAITH = 20.0
"""Examples that the raw score's own word is worth in every bin."""
MEMORY = 20_000.0
"""Examples of a bin over which it forgets."""
KEPT = 1.0 - 1.0 / MEMORY
"""What is left of a bin after one more example."""
REFRESH = 50
"""Examples after which the map is drawn anew."""
LEAST = 1e-9

Tallies = list[list[float]]
"""Per bin: its examples, the sum of what was said of them, and the sum of what came."""


class Bin(msgspec.Struct, frozen=True):
    """One row of the reliability table: of `count` probabilities in [low, high), what was said and what came."""

    low: float
    high: float
    count: float
    mean_predicted: float
    observed_rate: float


class Calibration:
    """A monotone map of scores: bins in log-odds, pooled until their rates rise (isotonic regression).

    Between the middles of pooled bins it is linear in log-odds, beyond them a shift, so it keeps every order.
    It begins as the identity, from which each bin departs as it sees examples, and it forgets the old.
    """

    def __init__(self) -> None:
        middles = _middles()
        self._tallies: Tallies = np.stack(
            (np.full_like(middles, FAITH), FAITH * middles, FAITH * _logistic(middles)), axis=1
        ).tolist()
        self._table: Tallies = [[0.0, 0.0, 0.0] for _ in TABLE_EDGES[1:]]
        self._learned = 0
        self._xs: list[float]
        self._ys: list[float]
        self._draw()

    def calibrate(self, p: float) -> float:
        """Return the probability for the raw score `p`, both in [0, 1]. Changes nothing."""
        x = _logit(p)
        xs, ys = self._xs, self._ys
        if x <= xs[0]:
            return _probability(ys[0] + x - xs[0])
        if x >= xs[-1]:
            return _probability(ys[-1] + x - xs[-1])
        i = bisect_right(xs, x)
        share = (x - xs[i - 1]) / (xs[i] - xs[i - 1])
        return _probability(ys[i - 1] + share * (ys[i] - ys[i - 1]))

    def learn_one(self, p: float, y: bool) -> None:
        """Learn that the raw score `p` had the label `y`; the table counts what was said before."""
        said, x = self.calibrate(p), _logit(p)
        _count(self._table[_place(TABLE_EDGES, said)], said, y)
        _count(self._tallies[_place(EDGES, x)], x, y)
        self._learned += 1
        if self._learned % REFRESH == 0:
            self._draw()

    def reliability_table(self) -> list[Bin]:
        """Return, by ranges of the calibrated probability, what was said and how often it came true.

        Every probability was given before its label was learned. A row forgets like the map; empty rows are
        left out.
        """
        rows = zip(pairwise(TABLE_EDGES), self._table, strict=True)
        return [
            Bin(low, high, count, predicted / count, observed / count)
            for (low, high), (count, predicted, observed) in rows
            if count > 0.0
        ]

    def snapshot(self) -> bytes:
        """Return all of the state: plain data of some 2 kB."""
        arrays = (np.array(self._tallies).T, np.array(self._table).T, np.array((self._xs, self._ys)))
        raw = tuple(array.astype("<f8").tobytes() for array in arrays)
        return msgspec.msgpack.encode((self._learned, *raw))

    def restore(self, blob: bytes) -> None:
        """Take over the state of a snapshot; it goes on bit for bit."""
        learned, *raw = msgspec.msgpack.decode(blob, type=tuple[int, bytes, bytes, bytes])
        tallies, table, drawn = (np.frombuffer(part, "<f8").astype(np.float64) for part in raw)
        self._learned = learned
        self._tallies, self._table = tallies.reshape(3, -1).T.tolist(), table.reshape(3, -1).T.tolist()
        self._xs, self._ys = drawn.reshape(2, -1).tolist()

    def _draw(self) -> None:
        blocks = _pooled(self._tallies)
        self._xs = [said / count for count, said, _ in blocks]
        self._ys = [_logit(hits / count) for count, _, hits in blocks]


def _pooled(tallies: Tallies) -> Tallies:
    """Return the tallies with neighbours merged until rates rise strictly (pool adjacent violators)."""
    blocks: Tallies = []
    for tally in tallies:
        block = tally
        while blocks and blocks[-1][2] / blocks[-1][0] >= block[2] / block[0]:
            before = blocks.pop()
            block = [before[0] + block[0], before[1] + block[1], before[2] + block[2]]
        blocks.append(block)
    return blocks


def _count(tally: list[float], said: float, y: bool) -> None:
    """Add (1, what was said, what came) to a tally, which forgets beyond its memory."""
    tally[0] = tally[0] * KEPT + 1.0
    tally[1] = tally[1] * KEPT + said
    tally[2] = tally[2] * KEPT + y


def _place(edges: tuple[float, ...], value: float) -> int:
    """Return the bin of a value; those beyond the edges belong to the outer bins."""
    return min(max(bisect_right(edges, value) - 1, 0), len(edges) - 2)


def _middles() -> Vector:
    middles: Vector = (np.array(EDGES[1:]) + np.array(EDGES[:-1])) / 2.0
    return middles


def _logistic(log_odds: Vector) -> Vector:
    shares: Vector = 1.0 / (1.0 + np.exp(-log_odds))
    return shares


def _logit(p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"a score must be in [0, 1], got {p}")
    kept = min(max(p, LEAST), 1.0 - LEAST)
    return math.log(kept / (1.0 - kept))


def _probability(log_odds: float) -> float:
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    return math.exp(log_odds) / (1.0 + math.exp(log_odds))
