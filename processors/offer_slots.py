"""Filling the slots of a decision by a policy, so that the propensity of what each slot got is exact."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from online_models.arms import RateSettings, beta_beliefs
from online_models.exploration import Beliefs, EpsilonGreedy, Exploration, Softmax, Thompson, Uniform
from online_models.policies import Believer, Slate
from online_models.slots import Diversity, Slot, rank, seed_of
from processors.offer_scoring import Scored

POLICIES: Mapping[str, Exploration] = MappingProxyType(
    {
        "greedy": EpsilonGreedy(epsilon=0.0),
        "epsilon-greedy": EpsilonGreedy(),
        "softmax": Softmax(),
        "thompson": Thompson(),
        "uniform": Uniform(),
    }
)
"""Every policy by its name."""


@dataclass(frozen=True)
class SlotFiller:
    """Fills slots by exploring around the scores of a ranking.

    `seed` with the id of a decision seeds its chance: the same decision fills its slots the same. At most
    `most_per_category` offers of a category get a slot, None is any number; offers without a category are no matter.
    Thompson sampling doubts a score as much as few redemptions of the offer leave its rate in doubt. ValueError for an
    unknown policy.
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
        seed = seed_of(self.seed, decision)
        chooser = Believer(POLICIES[self.policy], _beliefs(scored))
        return rank(chooser, slate, slots, seed, eligible, self._diversity(scored))

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
