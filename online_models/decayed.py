"""Sums per arm that fade: what was added one half-life ago counts half; several half-lives, several memories."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from online_models.base import Vector

HEADROOM = 64.0
"""Most half-lives a new number is ahead of the reference before the sums are written down anew."""


class DecayedState(msgspec.Struct, frozen=True):
    """The sums as plain data: `totals` are little-endian float64, for each arm and memory a row of `width` numbers."""

    arms: tuple[str, ...]
    totals: bytes
    references: tuple[float, ...]
    clock: float
    shortened_at: float


class DecayedSums:
    """`width` sums per arm and memory, in which a number added at time t weighs 2^((t − now) / half-life).

    Order does not matter, so that what was added can be taken away again: the sums are kept as of a reference time,
    which moves by whole half-lives and so without rounding. Time is in any unit, the same as the half-lives; where
    none is given it is the number of additions. An infinite half-life forgets nothing.
    """

    def __init__(self, width: int, half_lives: tuple[float, ...]) -> None:
        if not half_lives or not all(half_life > 0.0 for half_life in half_lives):
            raise ValueError(f"half-lives must be above 0, got {half_lives}")
        self._half_lives = np.array(half_lives)
        self._references = np.zeros(len(half_lives))
        self._rows: dict[str, int] = {}
        self._totals = np.zeros((0, len(half_lives), width))
        self.clock = 0.0
        self.shortened_at = -np.inf

    @property
    def arms(self) -> tuple[str, ...]:
        """Return the arms that something was added for, in order of their first time."""
        return tuple(self._rows)

    def add(self, arm: str, numbers: Vector, time: float | None) -> None:
        """Add to all memories of `arm`, which may be new."""
        time = self.clock + 1.0 if time is None else time
        self._insert(arm, numbers, time)
        self.clock = max(self.clock, time)

    def take_away(self, arm: str, numbers: Vector, time: float) -> None:
        """Undo an `add` of the same numbers at the same time; nothing remains of it but the clock.

        What was added before the memories were shortened, or for an arm forgotten since, is left as it is.
        """
        if arm in self._rows and time > self.shortened_at:
            self._insert(arm, -numbers, time)

    def at(self, arms: Sequence[str], time: float | None = None) -> Vector:
        """Return arms × memories × sums as of `time`, by default of the newest addition: zeros for an unknown arm."""
        rows = np.array([self._rows.get(arm, -1) for arm in arms], dtype=np.intp)
        found = np.zeros((len(rows), *self._totals.shape[1:]))
        known = rows >= 0
        found[known] = self._totals[rows[known]] * self._faded(time)
        return found

    def total(self, time: float | None = None) -> Vector:
        """Return memories × sums over all arms as of `time`."""
        everything: Vector = self._totals.sum(axis=0) * self._faded(time)
        return everything

    def shorten(self, memory: int) -> None:
        """Let every longer memory of every arm know no more than `memory` does, as of now."""
        now = self._totals[:, memory : memory + 1] * self._faded(None)[memory]
        self._totals[:, memory + 1 :] = now / self._faded(None)[memory + 1 :]
        self.shortened_at = self.clock

    def forget(self, arm: str) -> None:
        """Drop an arm with all it had; an unknown one is no error."""
        row = self._rows.pop(arm, None)
        if row is not None:
            self._totals = np.delete(self._totals, row, axis=0)
            self._rows = {name: at for at, name in enumerate(self._rows)}

    def state(self) -> DecayedState:
        """Return everything as plain data."""
        totals = self._totals.astype("<f8").tobytes()
        return DecayedState(self.arms, totals, tuple(self._references.tolist()), self.clock, self.shortened_at)

    def take_over(self, state: DecayedState) -> None:
        """Go on from `state`; `ValueError` when its sums are of another size."""
        totals = np.frombuffer(state.totals, "<f8").astype(np.float64)
        shape = (len(state.arms), *self._totals.shape[1:])
        if totals.size != np.prod(shape) or len(state.references) != len(self._references):
            raise ValueError(f"snapshot has {totals.size} sums, which does not fit {shape}")
        self._totals = totals.reshape(shape)
        self._rows = {arm: row for row, arm in enumerate(state.arms)}
        self._references = np.array(state.references)
        self.clock, self.shortened_at = state.clock, state.shortened_at

    def _insert(self, arm: str, numbers: Vector, time: float) -> None:
        ahead = time / self._half_lives - self._references
        if ahead.max() > HEADROOM:
            whole = np.floor(np.maximum(ahead, 0.0))
            self._totals *= np.exp2(-whole)[:, None]
            self._references += whole
            ahead -= whole
        row = self._rows.setdefault(arm, len(self._rows))
        if row == len(self._totals):
            self._totals = np.concatenate((self._totals, np.zeros((1, *self._totals.shape[1:]))))
        self._totals[row] += numbers * np.exp2(ahead)[:, None]

    def _faded(self, time: float | None) -> Vector:
        now = self.clock if time is None else max(time, self.clock)
        faded: Vector = np.exp2(self._references - now / self._half_lives)[:, None]
        return faded
