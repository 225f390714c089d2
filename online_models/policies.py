"""Policies: given candidates, the chance of each to be shown next; given rewards, better ones.

A policy is a model of the arms' rewards (`arms.py`) under a way to explore (`exploration.py`); any model goes with any
way. Where a slate brings scores of its own, such as a ranker's, the way explores around those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import msgspec
import numpy as np

from online_models.arms import (
    MEMORIES,
    LinearSettings,
    Outcome,
    RateSettings,
    Settings,
    arm_model,
    arm_of,
    checked,
)
from online_models.base import Vector
from online_models.decayed import DecayedState
from online_models.exploration import (
    Beliefs,
    Chances,
    EpsilonGreedy,
    Exploration,
    Softmax,
    SquareCB,
    Thompson,
    Uniform,
    UpperBound,
)


@dataclass(frozen=True, slots=True)
class Slate:
    """Candidates by their arms' names.

    `contexts` is N × d for linear models. `scores` are expected rewards from elsewhere, to be explored around. `time`
    is now, in the unit of the half-life; None is the time of the newest reward.
    """

    arms: tuple[str, ...]
    contexts: Vector | None = None
    scores: Vector | None = None
    time: float | None = None


class Chooser(Protocol):
    """Chooses among candidates with known chances."""

    @property
    def floor(self) -> float:
        """Return the lowest propensity of anything chosen by sampled chances; 0 where chances are exact formulas."""
        ...

    def chances(self, slate: Slate, chance: np.random.Generator) -> Chances:
        """Return what tells, for the open ones among the candidates, the chance of each. Changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Believer:
    """A way to explore around what is believed of a slate's candidates already; it learns nothing."""

    exploration: Exploration
    beliefs: Beliefs

    @property
    def floor(self) -> float:
        """Return the lowest propensity of anything chosen, where chances are sampled; else 0."""
        return self.exploration.floor

    def chances(self, slate: Slate, chance: np.random.Generator) -> Chances:
        """Return what tells, for the open ones among the candidates, the chance of each. Changes nothing."""
        known = self.beliefs if slate.scores is None else self.beliefs.around(slate.scores)
        return self.exploration.chances(known, chance)


@runtime_checkable
class Policy(Chooser, Protocol):
    """Chooses among candidates with known chances, and learns from what came of it."""

    def learn(self, outcome: Outcome) -> None:
        """Learn one reward, of an arm known or new; weight 0 changes nothing."""
        ...

    def unlearn(self, outcome: Outcome) -> None:
        """Undo what was learned from an outcome that has its time."""
        ...

    def forget(self, arm: str) -> None:
        """Drop all that is known of an arm."""
        ...

    def snapshot(self) -> bytes:
        """Return all of the state, from which `restore` goes on bit for bit."""
        ...

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot; `ValueError` when it is none."""
        ...


class _Snapshot(msgspec.Struct, frozen=True):
    kind: Literal["bandit"]
    model: Settings
    exploration: Exploration
    sums: DecayedState


class Bandit:
    """A model of the arms under a way to explore."""

    def __init__(self, model: Settings, exploration: Exploration) -> None:
        self.exploration = exploration
        self._model = arm_model(model)

    @property
    def floor(self) -> float:
        """Return the lowest propensity of anything chosen, where chances are sampled; else 0."""
        return self.exploration.floor

    @property
    def arms(self) -> tuple[str, ...]:
        """Return the arms that something is known of; a model shared by all has the one arm ""."""
        return self._model.sums.arms

    @property
    def clock(self) -> float:
        """Return the time of the newest outcome: the time an outcome without one was learned at."""
        return self._model.sums.clock

    def beliefs(self, slate: Slate) -> Beliefs:
        """Return what is believed of the candidates; brought scores stand for the means, and shift every world."""
        known = self._model.beliefs(slate.arms, slate.contexts, slate.time)
        return known if slate.scores is None else known.around(slate.scores)

    def chances(self, slate: Slate, chance: np.random.Generator) -> Chances:
        """Return what tells, for the open ones among the candidates, the chance of each. Changes nothing."""
        return self.exploration.chances(self.beliefs(slate), chance)

    def learn(self, outcome: Outcome) -> None:
        """Learn one reward; `ValueError` for one that the model cannot take, with nothing learned."""
        numbers = self._model.numbers(checked(outcome))
        if outcome.weight > 0.0:
            arm = arm_of(self._model, outcome.arm)
            self._model.sums.add(arm, numbers, outcome.time)
            self._model.notice_change(arm)

    def unlearn(self, outcome: Outcome) -> None:
        """Undo `learn` of the same outcome; `ValueError` without its time.

        What is believed is as if it had never been learned, to rounding, with two exceptions: where outcomes bring no
        times, the clock has ticked; and what is from before a noticed change, or of an arm forgotten since, is left.
        """
        if outcome.time is None:
            raise ValueError("an outcome is unlearned at the time it was learned at: `clock` right after `learn`")
        numbers = self._model.numbers(checked(outcome))
        if outcome.weight > 0.0:
            self._model.sums.take_away(arm_of(self._model, outcome.arm), numbers, outcome.time)

    def forget(self, arm: str) -> None:
        """Drop all that is known of an arm; a model shared by all arms has nothing of one alone."""
        self._model.sums.forget(arm)

    def snapshot(self) -> bytes:
        """Return settings and state as MessagePack."""
        said = _Snapshot("bandit", self._model.settings, self.exploration, self._model.sums.state())
        return msgspec.msgpack.encode(said)

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot with its settings; `ValueError` when it is none, and nothing changes."""
        try:
            told = msgspec.msgpack.decode(blob, type=_Snapshot)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a snapshot of a policy: {error}") from error
        model = arm_model(told.model)
        model.sums.take_over(told.sums)
        self._model, self.exploration = model, told.exploration


WAYS: Mapping[str, Exploration] = MappingProxyType(
    {
        "thompson": Thompson(),
        "epsilon-greedy": EpsilonGreedy(),
        "softmax": Softmax(),
        "squarecb": SquareCB(),
        "ucb": UpperBound(),
        "uniform": Uniform(),
        "linucb": UpperBound(),
        "linear-thompson": Thompson(),
        "linear-squarecb": SquareCB(),
    }
)
"""Every policy by name; those that start with `lin` need contexts."""


def build(name: str, width: int = 0, half_lives: tuple[float, ...] = MEMORIES) -> Bandit:
    """Return a new policy by its name in `WAYS`; `ValueError` for any other, or a linear one without a width.

    `width` is the length of a context. `half_lives` are memories from short to long, in the unit of the outcomes'
    time; a linear model has the longest alone.
    """
    if name not in WAYS:
        raise ValueError(f"unknown policy {name!r}: there are {', '.join(WAYS)}")
    if not name.startswith("lin"):
        return Bandit(RateSettings(half_lives=half_lives), WAYS[name])
    if width < 1:
        raise ValueError(f"policy {name!r} needs contexts of at least one number")
    return Bandit(LinearSettings(width, half_life=half_lives[-1]), WAYS[name])
