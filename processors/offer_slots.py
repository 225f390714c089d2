"""Filling the slots of a decision by a policy, so that the propensity of what each slot got is exact."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from online_models.arms import RateSettings, beta_beliefs
from online_models.exploration import (
    Beliefs,
    EpsilonGreedy,
    Exploration,
    Softmax,
    SquareCB,
    Thompson,
    Uniform,
    UpperBound,
    certain,
)
from online_models.policies import Believer, Slate
from online_models.slots import Diversity, Slot, rank, seed_of
from processors.offer_scoring import Scored
from processors.trial import Trial
from schemas.offer_results import Arm, FirstChoice
from schemas.rollout_results import Rollout

POLICIES: Mapping[str, Exploration] = MappingProxyType(
    {
        "greedy": EpsilonGreedy(epsilon=0.0),
        "epsilon-greedy": EpsilonGreedy(),
        "softmax": Softmax(),
        "squarecb": SquareCB(),
        "thompson": Thompson(),
        "ucb": UpperBound(),
        "uniform": Uniform(),
    }
)
"""Every policy by its name."""

DOUBTFUL = (SquareCB, Thompson, UpperBound)
"""Ways to explore that look at more than scores: at how much, or how surely, something is known of each offer."""


@dataclass(frozen=True)
class SlotFiller:
    """Fills slots by exploring around the scores of a ranking.

    `seed` with the id of a decision seeds its chance: the same decision fills its slots the same. At most
    `most_per_category` offers of a category get a slot, None is any number; offers without a category are no matter.
    Thompson sampling and upper bounds doubt a score as much as few redemptions of the offer leave its rate in doubt;
    SquareCB explores the less, the more offers were shown. ValueError for an unknown policy.
    """

    policy: str = "epsilon-greedy"
    seed: int = 0
    most_per_category: int | None = 2

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"unknown policy {self.policy!r}: there are {', '.join(POLICIES)}")
        if self.most_per_category is not None and self.most_per_category < 1:
            raise ValueError(f"at least one offer of a category must be allowed, got {self.most_per_category}")

    def fill(self, decision: str, slots: int, scored: Scored) -> tuple[Slot, ...]:
        """Return at most `slots` slots from the top."""
        slate = Slate(tuple(terms.offer for terms, _ in scored.candidates), scores=scored.preferences())
        eligible = np.ones(len(slate.arms), dtype=np.bool_)
        seed, way = seed_of(self.seed, decision), POLICIES[self.policy]
        beliefs = _beliefs(scored) if isinstance(way, DOUBTFUL) else certain(scored.scores)
        return rank(Believer(way, beliefs), slate, slots, seed, eligible, self._diversity(scored))

    def _diversity(self, scored: Scored) -> Diversity | None:
        if self.most_per_category is None:
            return None
        codes: dict[str, int] = {}
        named = [terms.category or f"\n{terms.offer}" for terms, _ in scored.candidates]
        return Diversity(np.array([codes.setdefault(name, len(codes)) for name in named]), self.most_per_category)


def _beliefs(scored: Scored) -> Beliefs:
    """Return what the shows of each offer say of its rate: one redemption a show at most."""
    usages = [usage for _, usage in scored.candidates]
    shows = np.array([0 if usage is None else usage.impressions for usage in usages], dtype=np.float64)
    redeemed = np.array([0 if usage is None else usage.redemptions for usage in usages], dtype=np.float64)
    return beta_beliefs(shows, np.minimum(redeemed, shows), RateSettings())


class Choice(NamedTuple):
    """Who fills the slots of a decision, in which arm of which trial, and who would have in the other arm."""

    filler: SlotFiller
    arm: Arm = "champion"
    trial: str = ""
    shadow: SlotFiller | None = None

    def first(self, decision: str, scored: Scored) -> FirstChoice | None:
        """Return what the other arm would have put on top; None where there is no other, or nothing to show."""
        if self.shadow is None:
            return None
        for slot in self.shadow.fill(decision, 1, scored):
            offer = scored.candidates[slot.candidate].terms.offer
            return FirstChoice(policy=self.shadow.policy, offer=offer, propensity=slot.propensity)
        return None


class LiveSplit:
    """Shares the decisions out between a champion and the challenger of a trial, if there is one.

    While the trial runs, a customer's arm decides. A challenger that has been promoted decides for all, one that has
    been rolled back for none; what is said of another trial does not matter. ValueError for the trial of another
    champion.
    """

    def __init__(self, champion: SlotFiller, trial: Trial | None = None) -> None:
        if trial is not None and trial.champion != champion.policy:
            raise ValueError(f"{champion.policy} decides, but the trial is of {trial.champion}")
        self._trial = trial
        self._champion = champion
        self._challenger = champion if trial is None else replace(champion, policy=trial.challenger)

    def choose(self, tenant: str, user: str, rollout: Rollout | None) -> Choice:
        """Return who decides for a customer, by how the trial stands."""
        if self._trial is None:
            return Choice(self._champion)
        stand = "running" if rollout is None or rollout.trial != self._trial.name else rollout.state
        if stand != "running":
            return Choice(self._challenger, "challenger") if stand == "promoted" else Choice(self._champion)
        if self._trial.arm(tenant, user) == "challenger":
            return Choice(self._challenger, "challenger", self._trial.name, self._champion)
        return Choice(self._champion, "champion", self._trial.name, self._challenger)
