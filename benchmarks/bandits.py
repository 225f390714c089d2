"""What the policies earn: on ten real ads where every click is known, and when the best of ten arms changes.

`python -m benchmarks.bandits` prints both. A policy sees only the reward of the arm it chose. A round is the unit of
time, so that a half-life of 1,000 is one of 1,000 rewards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.csv
from rich.console import Console
from rich.table import Table

from online_models.arms import MEMORIES, Outcome
from online_models.base import Vector
from online_models.choice_kernels import drawn
from online_models.policies import Bandit, Slate, build

ADS = Path("ads_ctr_10arm") / "Ads_CTR_Optimisation.csv.gz"
SEEDS = tuple(range(20))
POLICIES = ("thompson", "epsilon-greedy", "softmax", "squarecb", "ucb", "uniform")

Figures = dict[str, float]


class Player(Protocol):
    """Plays one arm a round and learns its reward."""

    def chances(self) -> Vector:
        """Return the chance of each arm in the next round."""
        ...

    def learn(self, arm: int, reward: float) -> None:
        """Learn what the arm played gave."""
        ...


class Online:
    """A policy of headrace over `arms` arms, all of them open."""

    def __init__(self, bandit: Bandit, arms: int, seed: int) -> None:
        self._bandit = bandit
        self._slate = Slate(tuple(f"arm-{arm}" for arm in range(arms)))
        self._open = np.ones(arms, dtype=np.bool_)
        self._chance = np.random.default_rng(seed)

    def chances(self) -> Vector:
        """Return the distribution of the only slot."""
        return self._bandit.chances(self._slate, self._chance)(self._open)

    def learn(self, arm: int, reward: float) -> None:
        """Learn the reward of the arm."""
        self._bandit.learn(Outcome(self._slate.arms[arm], reward))


class UCB1:
    """UCB1 (Auer, Cesa-Bianchi and Fischer, 2002), the baseline: every arm once, then the highest bound."""

    def __init__(self, arms: int) -> None:
        self._wins, self._plays = np.zeros(arms), np.zeros(arms)

    def chances(self) -> Vector:
        """Return one for the arm with the highest bound, the first of equals."""
        plays = np.maximum(self._plays, 1.0)
        bounds = self._wins / plays + np.sqrt(1.5 * np.log(self._plays.sum() + 1.0) / plays)
        bounds[self._plays == 0.0] = inf
        best: Vector = np.eye(len(plays))[int(bounds.argmax())]
        return best

    def learn(self, arm: int, reward: float) -> None:
        """Count the reward."""
        self._wins[arm] += reward
        self._plays[arm] += 1.0


class Nightly:
    """A batch model: epsilon-greedy on rates fitted every `every` rounds to the last `window` rounds, or all.

    It explores at all times, or it would never see that another arm has become better. Before the first night it
    plays at random.
    """

    def __init__(self, arms: int, every: int, window: float, epsilon: float = 0.1) -> None:
        self._every, self._window, self._epsilon = every, window, epsilon
        self._log: list[tuple[int, float]] = []
        self._rates = np.zeros(arms)

    def chances(self) -> Vector:
        """Return 1 − ε on the best of last night's rates, and ε on all alike."""
        best = self._rates == self._rates.max()
        shares: Vector = (1.0 - self._epsilon) * best / best.sum() + self._epsilon / len(best)
        return shares

    def learn(self, arm: int, reward: float) -> None:
        """Log the reward; at the end of a night, fit all rates."""
        self._log.append((arm, reward))
        if len(self._log) % self._every == 0:
            kept = np.array(self._log[-int(min(self._window, len(self._log))) :])
            played, wins = kept[:, 0].astype(np.intp), kept[:, 1]
            arms = len(self._rates)
            self._rates = (np.bincount(played, wins, arms) + 1.0) / (np.bincount(played, minlength=arms) + 2.0)


def ads(data: Path, seeds: Sequence[int] = SEEDS, rounds: int | None = None) -> dict[str, Figures]:
    """Return the `total_reward` of each policy on the ten ads: the mean over seeds, the lowest, the deviation."""
    clicks = read_clicks(data / ADS)[:rounds]
    count = clicks.shape[1]
    found = {
        name: over_seeds([played(Online(build(name), count, seed), clicks, seed) for seed in seeds])
        for name in POLICIES
    }
    found["ucb1"] = over_seeds([played(UCB1(count), clicks, 0)])
    found["best_arm"] = over_seeds([float(clicks.sum(axis=0).max())])
    return found


def read_clicks(path: Path) -> Vector:
    """Return a row per round and a column per ad: 1 where it would have been clicked."""
    table = pyarrow.csv.read_csv(path)
    return np.column_stack([column.to_pylist() for column in table.columns]).astype(np.float64)


def played(player: Player, rewards: Vector, seed: int) -> float:
    """Return what the player earns when `rewards[round, arm]` is what each arm would give."""
    chance = np.random.default_rng((seed, 1))
    total = 0.0
    for row, u in zip(rewards, chance.random(len(rewards)), strict=True):
        arm = drawn(player.chances(), u)
        player.learn(arm, float(row[arm]))
        total += float(row[arm])
    return total


def over_seeds(totals: Sequence[float]) -> Figures:
    """Return mean, lowest and standard deviation of the total rewards."""
    return {
        "total_reward": float(np.mean(totals)),
        "lowest": float(min(totals)),
        "standard_deviation": float(np.std(totals)),
    }


@dataclass(frozen=True)
class Change:
    """A world of Bernoulli arms whose `before` rates become the `after` rates at round `at`, of `rounds`."""

    before: tuple[float, ...]
    after: tuple[float, ...]
    at: int = 5_000
    rounds: int = 15_000
    night: int = 1_440

    def rates(self) -> Vector:
        """Return the rates of all arms in all rounds."""
        return np.vstack((np.tile(self.before, (self.at, 1)), np.tile(self.after, (self.rounds - self.at, 1))))


_RATES = (0.17, 0.13, 0.07, 0.12, 0.27, 0.01, 0.11, 0.21, 0.10, 0.05)
"""Rates like those of the ten ads."""
WORLDS: Mapping[str, Change] = {
    "best_and_worst_swap": Change(_RATES, (*_RATES[:4], 0.01, 0.27, *_RATES[6:])),
    "best_falls_to_second": Change(_RATES, (*_RATES[:4], 0.12, *_RATES[5:])),
    "another_overtakes": Change(_RATES, (0.17, 0.13, 0.07, 0.40, *_RATES[4:])),
}
HORIZON = 200
"""Rounds over which the rate of a policy is averaged."""


MEMORY: Mapping[str, tuple[float, ...]] = {"": MEMORIES, " that fades": (2_000.0,), " that never forgets": (inf,)}


def drift(seeds: Sequence[int] = SEEDS[:5], worlds: Mapping[str, Change] = WORLDS) -> dict[str, Figures]:
    """Return how many rounds after the change each player regains 90 % of the new best arm's rate, per world.

    The median over seeds; infinite where it does not within the rounds there are. `reward` is the mean reward of a
    round from the change on, over that of the new best arm.
    """
    found = {}
    for name, world in worlds.items():
        for player, make in players(world):
            runs = [regained(make(seed), world, seed) for seed in seeds]
            rounds, rewards = zip(*runs, strict=True)
            found[f"{name}/{player}"] = {"rounds": float(np.median(rounds)), "reward": float(np.mean(rewards))}
    return found


def players(world: Change) -> Iterator[tuple[str, Callable[[int], Player]]]:
    """Yield each contestant by name, as a function of a seed."""
    count = len(world.before)
    for memory, half_lives in MEMORY.items():
        yield f"thompson{memory}", partial(_online, "thompson", half_lives, count)
    for name in ("squarecb", "epsilon-greedy"):
        yield name, partial(_online, name, MEMORIES, count)
    yield "nightly batch, all rounds", lambda _: Nightly(count, world.night, inf)
    yield "nightly batch, last night", lambda _: Nightly(count, world.night, world.night)


def _online(name: str, half_lives: tuple[float, ...], arms: int, seed: int) -> Player:
    return Online(build(name, half_lives=half_lives), arms, seed)


def regained(player: Player, world: Change, seed: int) -> tuple[float, float]:
    """Return after how many rounds 90 % of the new best rate are regained, and the relative reward since the change."""
    rates = world.rates()
    chance = np.random.default_rng((seed, 2))
    expected = np.empty(world.rounds)
    for round_, (row, (u, v)) in enumerate(zip(rates, chance.random((world.rounds, 2)), strict=True)):
        shares = player.chances()
        expected[round_] = shares @ row
        arm = drawn(shares, u)
        player.learn(arm, float(v < row[arm]))
    since = expected[world.at :]
    moving = np.convolve(since, np.ones(HORIZON) / HORIZON, mode="valid")
    reached = np.flatnonzero(moving >= 0.9 * max(world.after))
    rounds = float(reached[0] + HORIZON) if len(reached) else inf
    return rounds, float(since.mean() / max(world.after))


def main() -> None:
    """Print both tables."""
    data = os.environ.get("HEADRACE_DATA")
    if data is None:
        raise SystemExit("set HEADRACE_DATA to the folder of event data")
    console = Console()
    console.print(_table("ten ads", ads(Path(data))))
    for name, world in WORLDS.items():
        console.print(_table("the best arm changes", drift(worlds={name: world})))


def _table(title: str, found: Mapping[str, Figures]) -> Table:
    names = tuple(next(iter(found.values())))
    table = Table("policy", *names, title=title)
    for policy, figures in found.items():
        table.add_row(policy, *(f"{figures[name]:,.{3 * (name == 'reward')}f}" for name in names))
    return table


if __name__ == "__main__":
    main()
