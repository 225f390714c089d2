"""How good scores were, over the last examples whose label has come: exact on the window."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from online_models.base import Vector

Labels = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class Quality(msgspec.Struct, frozen=True):
    """The figures of one window; a figure that is not defined there is None."""

    count: int
    positives: int
    roc_auc: float | None
    average_precision: float | None
    log_loss: float | None
    precision_at_k: float | None


class RollingQuality:
    """Metrics over the last `window` examples, each scored before its label was learned."""

    def __init__(self, window: int = 20_000, k: int = 100) -> None:
        if window < 1 or k < 1:
            raise ValueError(f"window and k must be at least 1, got {window} and {k}")
        self.k = k
        self._labels = np.zeros(window, dtype=np.bool_)
        self._scores = np.zeros(window)
        self._seen = 0

    def add(self, y: bool, score: float) -> None:
        """Take in one label with the score it had, dropping the oldest when the window is full."""
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"score must be in [0, 1], got {score}")
        place = self._seen % self._labels.size
        self._labels[place] = y
        self._scores[place] = score
        self._seen += 1

    def quality(self) -> Quality:
        """Return the figures of the window; ties for the first `k` places go to the older example."""
        y, p = self._window()
        ranking = ranked(y, p)
        return Quality(
            count=y.size,
            positives=int(y.sum()),
            roc_auc=ranking.roc_auc(),
            average_precision=ranking.average_precision(),
            log_loss=log_loss(y, p),
            precision_at_k=ranking.precision_at(self.k),
        )

    def _window(self) -> tuple[Labels, Vector]:
        """Return labels and scores, oldest first."""
        size = self._labels.size
        if self._seen < size:
            return self._labels[: self._seen], self._scores[: self._seen]
        start = -(self._seen % size)
        return np.roll(self._labels, start), np.roll(self._scores, start)

    def snapshot(self) -> bytes:
        """Return all of the state: 9 bytes per example of the window."""
        labels, scores = self._labels.tobytes(), self._scores.astype("<f8").tobytes()
        return msgspec.msgpack.encode((self.k, self._seen, labels, scores))

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot, with its window and k."""
        k, seen, labels, scores = msgspec.msgpack.decode(blob, type=tuple[int, int, bytes, bytes])
        self.k, self._seen = k, seen
        self._labels = np.frombuffer(labels, np.bool_).copy()
        self._scores = np.frombuffer(scores, "<f8").astype(np.float64)


class Ranking(NamedTuple):
    """Labels by falling score, of equal scores the older first; `ends` are the positions where the score changes."""

    labels: Labels
    ends: Places
    found: Places
    """The number of positives up to each end."""

    def roc_auc(self) -> float | None:
        """Return the chance that a positive scores above a negative, ties counting half; None without both."""
        size = self.labels.size
        positives = int(self.found[-1]) if size else 0
        negatives = size - positives
        if positives == 0 or negatives == 0:
            return None
        ends = self.ends
        middle_ranks = size - ends + (np.diff(ends, prepend=-1) - 1) / 2.0
        ranks = _total(middle_ranks * np.diff(self.found, prepend=0))
        return (ranks - positives * (positives + 1) / 2.0) / (positives * negatives)

    def average_precision(self) -> float | None:
        """Return the mean precision at each positive found, equal scores found at once; None without positives."""
        positives = int(self.found[-1]) if self.labels.size else 0
        if positives == 0:
            return None
        precision = self.found / (self.ends + 1.0)
        return _total(np.diff(self.found, prepend=0) * precision) / positives

    def precision_at(self, k: int) -> float | None:
        """Return the share of positives among the `k` highest scores, or among all when fewer; None without any."""
        return float(self.labels[:k].mean()) if self.labels.size else None


def _total(values: Vector) -> float:
    """Return the sum, added up in one order; `@` adds in as many parts as there are cores, which then stay busy."""
    return float(values.sum())


def ranked(y: Labels, scores: Vector) -> Ranking:
    """Return the labels in the order of their scores, which all figures but the log loss need."""
    order = np.argsort(-scores, kind="stable")
    labels: Labels = y[order]
    ends = np.flatnonzero(np.append(np.diff(scores[order]), 1.0)) if y.size else np.empty(0, np.intp)
    return Ranking(labels, ends, np.cumsum(labels, dtype=np.intp)[ends])


def roc_auc(y: Labels, scores: Vector) -> float | None:
    """Return the chance that a positive scores above a negative, ties counting half; None without both."""
    return ranked(y, scores).roc_auc()


def average_precision(y: Labels, scores: Vector) -> float | None:
    """Return the mean precision at each positive found, equal scores found at once; None without positives."""
    return ranked(y, scores).average_precision()


def log_loss(y: Labels, scores: Vector) -> float | None:
    """Return the mean of -ln(probability given to what came true), kept finite; None without examples."""
    if y.size == 0:
        return None
    least = np.finfo(np.float64).eps
    kept = np.clip(scores, least, 1.0 - least)
    return float(-np.log(np.where(y, kept, 1.0 - kept)).mean())


def precision_at(y: Labels, scores: Vector, k: int) -> float | None:
    """Return the share of positives among the `k` highest scores, or among all when fewer; None without any."""
    return ranked(y, scores).precision_at(k)
