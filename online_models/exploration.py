"""Ways to explore: what is believed of candidates becomes the chance of each to take the next slot.

Every way is plain data. All but Thompson sampling are exact formulas of the beliefs; Thompson sampling plays what is
best in one of `draws` worlds drawn from the beliefs, so that its chances are multiples of 1 / draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from online_models.base import Vector
from online_models.choice_kernels import mixed

Mask = npt.NDArray[np.bool_]
Chances = Callable[[Mask], Vector]
"""Given which candidates are open (at least one), the chance of each: zero where closed, one in all."""


class Beliefs(NamedTuple):
    """What a model believes of N candidates: expected reward, its standard deviation, and worlds drawn from both.

    `evidence` is how many rewards stand behind it, after forgetting. `worlds(chance, m)` is an m × N matrix.
    """

    mean: Vector
    deviation: Vector
    evidence: float
    worlds: Callable[[np.random.Generator, int], Vector]

    def around(self, scores: Vector) -> Beliefs:
        """Return these beliefs with scores from elsewhere for the means, which shift every world.

        ValueError for scores of another number, and for one that is not finite.
        """
        if scores.shape != self.mean.shape or not np.isfinite(scores).all():
            raise ValueError(f"expected {len(self.mean)} finite scores, one per candidate, got {scores}")
        shift = scores - self.mean
        return self._replace(mean=scores, worlds=lambda chance, m: self.worlds(chance, m) + shift)


def certain(scores: Vector) -> Beliefs:
    """Return beliefs that leave no doubt: all there is to know for ways that look at nothing but the mean."""
    return Beliefs(scores, np.zeros(len(scores)), 0.0, lambda _chance, m: np.tile(scores, (m, 1)))


class EpsilonGreedy(msgspec.Struct, frozen=True, tag="epsilon-greedy"):
    """The best one, and with chance `epsilon` any of them alike (Sutton and Barto, section 2.2)."""

    epsilon: float = 0.1
    floor: float = 0.0

    def chances(self, beliefs: Beliefs, _chance: np.random.Generator) -> Chances:
        """Return (1 − ε) on the best, shared among equals, plus ε / N on each."""
        return lambda open_: mixed(beliefs.mean, open_, self.epsilon)


class UpperBound(msgspec.Struct, frozen=True, tag="upper-bound"):
    """The one with the highest mean + alpha · deviation: LinUCB (Li et al., 2010) on a linear model.

    It is deterministic, and so leaves no propensities to learn from; the share `epsilon` of any alike gives them.
    """

    alpha: float = 1.0
    epsilon: float = 0.02
    floor: float = 0.0

    def chances(self, beliefs: Beliefs, _chance: np.random.Generator) -> Chances:
        """Return (1 − ε) on the highest bound, shared among equals, plus ε / N on each."""
        bounds = beliefs.mean + self.alpha * beliefs.deviation
        return lambda open_: mixed(bounds, open_, self.epsilon)


class Softmax(msgspec.Struct, frozen=True, tag="softmax"):
    """Each in proportion to exp(mean / temperature): Boltzmann exploration; rewards of some 1 are assumed."""

    temperature: float = 0.02
    floor: float = 0.0

    def chances(self, beliefs: Beliefs, _chance: np.random.Generator) -> Chances:
        """Return the softmax over the open candidates."""

        def of(open_: Mask) -> Vector:
            gaps = np.where(open_, beliefs.mean - beliefs.mean[open_].max(), -np.inf)
            weights = np.exp(gaps / self.temperature)
            shares: Vector = weights / weights.sum()
            return shares

        return of


class SquareCB(msgspec.Struct, frozen=True, tag="squarecb"):
    """Inverse gap weighting (Foster and Rakhlin, 2020): 1 / (N + γ · gap), and what is left on the best.

    γ = scale · evidence^exponent: it grows with what was learned, and stops growing where the model forgets. Rewards
    of some 1 are assumed.
    """

    scale: float = 10.0
    exponent: float = 0.5
    floor: float = 0.0

    def chances(self, beliefs: Beliefs, _chance: np.random.Generator) -> Chances:
        """Return inverse gap weights over the open candidates; the first of several best takes what is left."""
        gamma = self.scale * beliefs.evidence**self.exponent

        def of(open_: Mask) -> Vector:
            best = int(np.where(open_, beliefs.mean, -np.inf).argmax())
            shares = np.zeros(len(open_))
            shares[open_] = 1.0 / (open_.sum() + gamma * (beliefs.mean[best] - beliefs.mean[open_]))
            shares[best] = 0.0
            shares[best] = 1.0 - shares.sum()
            return shares

        return of


class Thompson(msgspec.Struct, frozen=True, tag="thompson"):
    """The best one of a world drawn from the beliefs (Thompson, 1933; Chapelle and Li, 2011).

    A decision draws `draws` worlds and then one of them. Given those the propensity is exact; what is chosen has at
    least 1 / draws, so that no importance weight exceeds `draws`. The worlds are the same for all slots of a decision.
    """

    draws: int = 256

    @property
    def floor(self) -> float:
        """Return the lowest propensity that anything chosen can have."""
        return 1.0 / self.draws

    def chances(self, beliefs: Beliefs, chance: np.random.Generator) -> Chances:
        """Return in what share of the worlds each open candidate is the best."""
        worlds = beliefs.worlds(chance, self.draws)
        best = worlds.argmax(axis=1)

        def of(open_: Mask) -> Vector:
            still, lost = best.copy(), ~open_[best]
            still[lost] = np.where(open_, worlds[lost], -np.inf).argmax(axis=1)
            return np.bincount(still, minlength=len(open_)) / self.draws

        return of


class Uniform(msgspec.Struct, frozen=True, tag="uniform"):
    """Any of them alike."""

    floor: float = 0.0

    def chances(self, _beliefs: Beliefs, _chance: np.random.Generator) -> Chances:
        """Return 1 / N on each open candidate."""
        return lambda open_: open_ / open_.sum()


Exploration = EpsilonGreedy | UpperBound | Softmax | SquareCB | Thompson | Uniform
