"""What is known of each arm's reward: a rate per arm, or a linear function of the context per arm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import msgspec
import numpy as np

from online_models.base import Vector, checked_weight
from online_models.decayed import DecayedSums
from online_models.exploration import Beliefs

MEMORIES = (500.0, 10_000.0)
"""Half-lives in rewards: the short one notices change, the long one leaves what is rarely shown open to doubt."""


class Outcome(msgspec.Struct, frozen=True):
    """A reward of an arm that was shown.

    `weight` is how much it counts, such as one over its propensity. `examination` in (0, 1] is the chance that its
    position was looked at: a skip far down says less than one on top, a click as much. `time` is of the showing, in
    the unit of the half-life; None counts outcomes. `context` is read by linear models alone.
    """

    arm: str
    reward: float
    weight: float = 1.0
    examination: float = 1.0
    time: float | None = None
    context: tuple[float, ...] = ()


class RateSettings(msgspec.Struct, frozen=True, tag="rates"):
    """Prior and memory of `Rates`: before any reward an arm has `prior_weight` outcomes with mean `prior_mean`.

    The default prior is uniform, Beta(1, 1). `half_lives` are memories from short to long, in the unit of the
    outcomes' time; the longest is believed. `surprise` is how strongly a shorter one must contradict it: some negative
    logarithm of how often that happens by chance. One half-life alone never notices a change, but fades.
    """

    prior_mean: float = 0.5
    prior_weight: float = 2.0
    half_lives: tuple[float, ...] = MEMORIES
    surprise: float = 8.0


class Rates:
    """The mean reward of each arm, rewards in [0, 1], as a Beta distribution that notices when the world changes.

    When the recent rewards of an arm are too unlikely under its long memory, n · kl(short, long) > `surprise` by
    Chernoff's bound, all arms forget what is older than the short memory, as in GLR-klUCB's global restarts (Besson,
    Kaufmann, Maillard and Seznec, 2022). Under position bias the click model is position-based (Lagrée, Vernade and
    Cappé, 2016): the rate is clicks per examination.
    """

    def __init__(self, settings: RateSettings | None = None) -> None:
        self.settings = settings or RateSettings()
        self.sums = DecayedSums(3, self.settings.half_lives)

    def beliefs(self, arms: Sequence[str], _contexts: Vector | None, time: float | None) -> Beliefs:
        """Return what is believed of `arms` at `time`; an unknown arm has the prior."""
        seen, won = np.maximum(self.sums.at(arms, time)[:, -1, :2], 0.0).T
        evidence = max(float(self.sums.total(time)[-1, 0]), 0.0)
        return beta_beliefs(seen, won, self.settings)._replace(evidence=evidence)

    def notice_change(self, arm: str) -> None:
        """Shorten all memories to the longest that the rewards of `arm` do not contradict."""
        memory = longest_that_holds(self.sums.at((arm,))[0], self.settings.surprise)
        if memory < len(self.settings.half_lives) - 1:
            self.sums.shorten(memory)

    def numbers(self, outcome: Outcome) -> Vector:
        """Return what an outcome adds to the sums; `ValueError` for a reward outside [0, 1]."""
        if not 0.0 <= outcome.reward <= 1.0:
            raise ValueError(f"reward must be in [0, 1], got {outcome.reward}: scale it, or use a linear model")
        return np.array((outcome.examination, outcome.reward, outcome.weight)) * outcome.weight


def beta_beliefs(seen: Vector, won: Vector, settings: RateSettings) -> Beliefs:
    """Return what is believed of arms that have been seen so often, and won so much of it, after the prior."""
    wins = settings.prior_mean * settings.prior_weight + won
    losses = (1.0 - settings.prior_mean) * settings.prior_weight + np.maximum(seen - won, 0.0)
    mean = wins / (wins + losses)
    deviation: Vector = np.sqrt(mean * (1.0 - mean) / (wins + losses + 1.0))
    return Beliefs(mean, deviation, float(seen.sum()), partial(_beta_worlds, wins, losses))


def _beta_worlds(wins: Vector, losses: Vector, chance: np.random.Generator, m: int) -> Vector:
    """Return m draws of each Beta(wins, losses)."""
    shape = (m, len(wins))
    if min(wins.min(initial=1.0), losses.min(initial=1.0)) < 1.0:
        return chance.beta(wins, losses, shape)  # gammas of next to nothing are 0, and 0 / 0
    won = chance.standard_gamma(wins, shape)  # five times as fast as beta, which rejects draws, where both are 1
    worlds: Vector = won / (won + chance.standard_gamma(losses, shape))
    return worlds


def longest_that_holds(memories: Vector, surprise: float) -> int:
    """Return the index of the longest memory that no shorter one contradicts.

    `memories` is memories × (outcomes, rewards, squared weights), from short to long. What counts as outcomes is the
    effective sample size, so that one large importance weight is no change.
    """
    seen, won, squares = np.maximum(memories, 1e-12).T
    rate = np.clip((won + 0.5) / (seen + 1.0), 1e-9, 1.0 - 1e-9)
    for long in range(len(rate) - 1, 0, -1):
        far = seen[:long] ** 2 / squares[:long] * _divergence(rate[:long], rate[long])
        if far.max() <= surprise:
            return long
    return 0


def _divergence(p: Vector, q: Vector) -> Vector:
    """Return the Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q)."""
    divergence: Vector = p * np.log(p / q) + (1.0 - p) * np.log((1.0 - p) / (1.0 - q))
    return divergence


class LinearSettings(msgspec.Struct, frozen=True, tag="linear"):
    """Size, prior and memory of `Linear`: `width` numbers per context.

    `ridge` is the prior precision of every coefficient, `noise` the standard deviation of a reward given its context.
    `arms` says whether each arm has coefficients of its own, or all share the same.
    """

    width: int
    ridge: float = 1.0
    noise: float = 0.5
    arms: Literal["disjoint", "shared"] = "disjoint"
    half_life: float = float("inf")


class Linear:
    """Bayesian linear regression of the reward on the context, per arm or over all of them.

    With A = ridge · I + Σ w x xᵀ and b = Σ w r x the coefficients are Gaussian, mean A⁻¹ b and covariance noise² A⁻¹
    (Li et al., 2010; Agrawal and Goyal, 2013). Examination e scales the context: E[r] = e · θᵀx.
    """

    def __init__(self, settings: LinearSettings) -> None:
        self.settings = settings
        self.sums = DecayedSums(settings.width * (settings.width + 1) + 1, (settings.half_life,))

    def beliefs(self, arms: Sequence[str], contexts: Vector | None, time: float | None) -> Beliefs:
        """Return what is believed of `arms`, whose contexts are the rows of `contexts`, at `time`."""
        xs = self._checked(contexts, len(arms))
        evidence = max(float(self.sums.total(time)[0, -1]), 0.0)
        if self.settings.arms == "shared":
            return self._shared(xs, time, evidence)
        covariance, theta = self._coefficients(self.sums.at(arms, time)[:, 0])
        mean = (xs * theta).sum(axis=1)
        deviation: Vector = np.sqrt(np.einsum("nd,nde,ne->n", xs, covariance, xs))
        size = len(xs)
        return Beliefs(
            mean, deviation, evidence, lambda chance, m: mean + deviation * chance.standard_normal((m, size))
        )

    def _shared(self, xs: Vector, time: float | None, evidence: float) -> Beliefs:
        covariance, theta = (part[0] for part in self._coefficients(self.sums.at(("",), time)[:, 0]))
        deviation: Vector = np.sqrt(np.einsum("nd,de,ne->n", xs, covariance, xs))
        spread = xs @ np.linalg.cholesky(covariance)
        mean = xs @ theta
        width = self.settings.width
        return Beliefs(
            mean, deviation, evidence, lambda chance, m: mean + chance.standard_normal((m, width)) @ spread.T
        )

    def numbers(self, outcome: Outcome) -> Vector:
        """Return what an outcome adds to the sums; `ValueError` for a context of another width."""
        x = self._checked(np.array([outcome.context]), 1)[0] * outcome.examination
        gram = np.outer(x, x).ravel()
        return np.concatenate((gram, outcome.reward * x, (1.0,))) * outcome.weight

    def notice_change(self, _arm: str) -> None:
        """Keep all: a linear model forgets by its half-life alone."""

    def _coefficients(self, sums: Vector) -> tuple[Vector, Vector]:
        """Return the covariance and mean of the coefficients for each row of sums."""
        width = self.settings.width
        precision: Vector = sums[:, : width * width].reshape(-1, width, width) + self.settings.ridge * np.eye(width)
        inverse = np.linalg.inv(precision).astype(np.float64, copy=False)
        theta: Vector = np.einsum("nde,ne->nd", inverse, sums[:, width * width : -1])
        return inverse * self.settings.noise**2, theta

    def _checked(self, contexts: Vector | None, count: int) -> Vector:
        width = self.settings.width
        if contexts is None or contexts.shape != (count, width):
            found = None if contexts is None else contexts.shape
            raise ValueError(f"expected {count} contexts of {width} numbers, got shape {found}")
        if not np.isfinite(contexts).all():
            raise ValueError("a context holds a value that is not a finite number: replace it before")
        return contexts


Settings = RateSettings | LinearSettings
ArmModel = Rates | Linear


def arm_model(settings: Settings) -> ArmModel:
    """Return a new model of these settings."""
    return Linear(settings) if isinstance(settings, LinearSettings) else Rates(settings)


def arm_of(model: ArmModel, arm: str) -> str:
    """Return under which name a model keeps what it learns of `arm`."""
    return "" if isinstance(model, Linear) and model.settings.arms == "shared" else arm


def checked(outcome: Outcome) -> Outcome:
    """Return `outcome`; `ValueError` for a weight, reward, examination or time that cannot be."""
    checked_weight(outcome.weight)
    if not np.isfinite(outcome.reward):
        raise ValueError(f"reward must be a finite number, got {outcome.reward}")
    if not 0.0 < outcome.examination <= 1.0:
        raise ValueError(f"examination must be in (0, 1], got {outcome.examination}")
    if outcome.time is not None and not np.isfinite(outcome.time):
        raise ValueError(f"time must be a finite number, got {outcome.time}")
    return outcome
