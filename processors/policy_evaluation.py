"""What a policy would have earned, from the log of another one: inverse propensity, direct and doubly robust estimates.

A log has one row a shown item: the logged action, its propensity when it was shown, and its reward. A candidate policy
gives every action's probability in every row, from nothing that happened in that row or later. The estimators are
those of Dudík, Erhan, Langford and Li (2014) and, self-normalised, of Swaminathan and Joachims (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]
Actions = npt.NDArray[np.intp]

BLOCKS = 5_000
"""Most blocks of rows that a bootstrap draws from; a longer log is put into that many at random, to bound its cost."""
CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Log:
    """Logged rows: `action` indexes the columns of a candidate's probabilities, `propensity` is in (0, 1].

    Raises ValueError for a log without rows, columns of several lengths, a propensity outside (0, 1], or a reward that
    is not a finite number.
    """

    action: Actions
    reward: Column
    propensity: Column

    def __post_init__(self) -> None:
        if not len(self.action):
            raise ValueError("the log has no rows")
        if not len(self.action) == len(self.reward) == len(self.propensity):
            raise ValueError(f"columns of {len(self.action)}, {len(self.reward)} and {len(self.propensity)} rows")
        wrong = np.flatnonzero(~((self.propensity > 0.0) & (self.propensity <= 1.0)))
        if len(wrong):
            raise ValueError(
                f"row {wrong[0]} has propensity {self.propensity[wrong[0]]}, {len(wrong)} rows in all are not in "
                "(0, 1]: what could not be shown cannot be judged"
            )
        if not np.isfinite(self.reward).all():
            raise ValueError(f"row {np.flatnonzero(~np.isfinite(self.reward))[0]} has no finite reward")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made: `resamples` of the rows, the middle `level` of their estimates, under a seed."""

    resamples: int = 1_000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, the reward per row, with the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All estimates of a candidate's value, and how far they can be trusted.

    `ess` is the effective sample size (Σw)² / Σw², of `n` rows; `clipped` the share of rows whose weight was cut down.
    """

    ips: Estimate
    snips: Estimate
    dm: Estimate
    dr: Estimate
    ess: float
    max_weight: float
    clipped: float


def evaluate(
    log: Log, probability: Column, expected: Column, clip: float = np.inf, bootstrap: Bootstrap | None = None
) -> Evaluation:
    """Return the estimates for a candidate with `probability[row, action]`, given a model's `expected` rewards alike.

    Weights are cut at `clip`, which trades variance for a bias toward zero. `expected[row]` must come from a model
    that has not seen the row (`expected_rewards`). Raises ValueError unless each row of probabilities sums to one.
    """
    if probability.shape != expected.shape or (np.abs(probability.sum(axis=1) - 1.0) > 1e-6).any():
        raise ValueError("a candidate has one distribution over all actions for every row")
    rows = np.arange(len(log.action))
    raw = probability[rows, log.action] / log.propensity
    weight = np.minimum(raw, clip)
    direct = (probability * expected).sum(axis=1)
    residual = log.reward - expected[rows, log.action]
    sums = np.column_stack((weight * log.reward, weight, direct, direct + weight * residual, np.ones(len(rows))))
    values, replicates = _values(sums.sum(axis=0)), _values(_resampled(sums, bootstrap or Bootstrap()))
    tail = (1.0 - (bootstrap or Bootstrap()).level) / 2.0
    low, high = np.quantile(replicates, (tail, 1.0 - tail), axis=1)
    ips, snips, dm, dr = (Estimate(*map(float, each)) for each in zip(values, low, high, strict=True))
    squares = float((weight**2).sum())
    ess = float(weight.sum() ** 2) / squares if squares else 0.0
    return Evaluation(ips, snips, dm, dr, ess, float(weight.max()), float((raw > clip).mean()))


def _values(sums: Column) -> Column:
    """Return IPS, SNIPS, direct and doubly robust values from sums whose last axis is that of `evaluate`."""
    rewards, weights, direct, robust, count = np.moveaxis(sums, -1, 0)
    normalised = np.divide(rewards, weights, out=np.zeros_like(rewards), where=weights > 0.0)
    values: Column = np.stack((rewards / count, normalised, direct / count, robust / count))
    return values


def _resampled(sums: Column, bootstrap: Bootstrap) -> Column:
    """Return the column sums of each resample of the rows, drawn with replacement."""
    chance = np.random.default_rng(bootstrap.seed)
    if len(sums) > BLOCKS:
        order = chance.permutation(len(sums))
        sums = np.add.reduceat(sums[order], np.linspace(0, len(sums), BLOCKS, endpoint=False).astype(np.intp))
    size, parts = len(sums), []
    step = max(1, CELLS // size)
    for start in range(0, bootstrap.resamples, step):
        count = min(step, bootstrap.resamples - start)
        picks = chance.integers(0, size, (count, size)) + size * np.arange(count)[:, None]
        parts.append(np.bincount(picks.ravel(), minlength=count * size).reshape(count, size) @ sums)
    return np.concatenate(parts)


def expected_rewards(
    log: Log, actions: int, contexts: Column | None = None, folds: int = 5, prior: float = 10.0, seed: int = 0
) -> Column:
    """Return `expected[row, action]` of a model fitted to the other folds, so that no row's reward is in its own.

    The model is the mean reward of each action, pulled toward the mean of all as by `prior` rows, plus a ridge
    regression of what remains on `contexts`, one row of numbers per logged row.
    """
    fold = np.random.default_rng(seed).permutation(len(log.action)) % folds
    expected = np.empty((len(log.action), actions))
    for each in range(folds):
        held, known = fold == each, fold != each
        means = _action_means(log.action[known], log.reward[known], actions, prior)
        expected[held] = means
        if contexts is not None and known.any():
            remains = log.reward[known] - means[log.action[known]]
            expected[held] += (contexts[held] @ _ridge(contexts[known], remains, prior))[:, None]
    return expected


def _action_means(action: Actions, reward: Column, actions: int, prior: float) -> Column:
    overall = float(reward.mean()) if len(reward) else 0.0
    sums = np.bincount(action, reward, actions) + prior * overall
    means: Column = sums / (np.bincount(action, minlength=actions) + prior)
    return means


def _ridge(xs: Column, ys: Column, prior: float) -> Column:
    return np.linalg.solve(xs.T @ xs + prior * np.eye(xs.shape[1]), xs.T @ ys).astype(np.float64, copy=False)
