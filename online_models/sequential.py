"""Comparing two arms by a test that may be looked at after every reward, and so be stopped at any time."""

from __future__ import annotations

from math import exp, log, log1p
from typing import NamedTuple

import msgspec

from schemas.offer_results import Arm

BETS = tuple(0.5 / 2**halved for halved in range(6))
"""What is staked on a difference, as shares of the largest stake that cannot lose everything at once: it is not known
how large the difference is, so each has a sixth of the evidence."""

_MOST = 690.0
"""Evidence is said no larger than exp of this, which a float still holds."""


class Evidence(NamedTuple):
    """What the rewards so far say of challenger against champion.

    `better` and `worse` are e-values: where the challenger is not better, `better` ever reaches 1 / alpha with a
    chance of at most alpha, however often and whenever it is looked at (Ville's inequality); `worse` likewise where
    it is not worse. `low` and `high` hold the mean difference, challenger less champion, at all times at once with a
    chance of at least 1 - alpha.
    """

    better: float
    worse: float
    low: float
    high: float


class Total(msgspec.Struct, array_like=True):
    """How many rewards an arm had, and their sum."""

    outcomes: int = 0
    rewards: float = 0.0

    @property
    def mean(self) -> float | None:
        """Return the mean reward, None before the first."""
        return self.rewards / self.outcomes if self.outcomes else None


class Comparison(msgspec.Struct, array_like=True):
    """The rewards of two arms between which chance decides; `share` in (0, 1) is that of the challenger.

    Each reward, in [0, 1], is of something whose arm was drawn independently of all that was added before it: of
    another customer, where a customer keeps their arm. Rewards may drift, as long as they do for both arms.

    A reward r scores (r - c) / share for the challenger and (c - r) / (1 - share) for the champion, where c is the mean
    of all rewards before it. The expected score is the difference of the arms whatever c is, and hardly moves with the
    share of the arms when c is near both means. `scores` and `squares` are the sums of it and of its square. For any
    bet b exp(b scores - psi(b) squares) is not expected to grow unless the challenger is better, nor is its mean over
    `BETS`: the empirical Bernstein supermartingale of Fan, Grama and Liu (2015) and Howard, Ramdas, McAuliffe and
    Sekhon (2021), a capital that is bet against the arms being alike (Waudby-Smith and Ramdas, 2024).
    """

    share: float
    champion: Total = msgspec.field(default_factory=Total)
    challenger: Total = msgspec.field(default_factory=Total)
    scores: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"the challenger's share must be in (0, 1), got {self.share}: one arm alone tells nothing")

    @property
    def outcomes(self) -> int:
        """Return how many rewards were added."""
        return self.champion.outcomes + self.challenger.outcomes

    def add(self, arm: Arm, reward: float) -> None:
        """Take in a reward; ValueError outside [0, 1]."""
        if not 0.0 <= reward <= 1.0:
            raise ValueError(f"a reward must be in [0, 1], got {reward}: scale it")
        above = reward - self._centre()
        score = above / self.share if arm == "challenger" else -above / (1.0 - self.share)
        self.scores += score
        self.squares += score * score
        total = self.challenger if arm == "challenger" else self.champion
        total.outcomes += 1
        total.rewards += reward

    def evidence(self, alpha: float) -> Evidence:
        """Return what is known by now; `alpha` in (0, 1) is for the interval alone."""
        low, high = self._bound(1.0, alpha), -self._bound(-1.0, alpha)
        return Evidence(self._e_value(1.0), self._e_value(-1.0), max(low, -1.0), min(high, 1.0))

    def _centre(self) -> float:
        """Return the mean of all rewards, drawn to one half by half of one more; in [0, 1]."""
        return (self.champion.rewards + self.challenger.rewards + 0.5) / (self.outcomes + 1)

    def _bets(self) -> list[tuple[float, float]]:
        """Return each bet on a score, and its cost for a squared score; scores are within 1 / scale of zero."""
        scale = min(self.share, 1.0 - self.share)
        return [(bet * scale, (-log1p(-bet) - bet) * scale * scale) for bet in BETS]

    def _e_value(self, sign: float) -> float:
        logs = [sign * bet * self.scores - cost * self.squares for bet, cost in self._bets()]
        most = max(logs)
        return exp(min(_MOST, most + log(sum(exp(each - most) for each in logs) / len(logs))))

    def _bound(self, sign: float, alpha: float) -> float:
        """Return what the mean score, times `sign`, exceeds by at least one bet, each at its share of alpha / 2."""
        if not self.outcomes:
            return -1.0
        needed = log(2.0 * len(BETS) / alpha)
        return max(
            (sign * self.scores - (needed + cost * self.squares) / bet) / self.outcomes for bet, cost in self._bets()
        )
