"""Filling the slots of a ranking one by one, each with the exact propensity of what it got."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from online_models.base import Vector
from online_models.choice_kernels import drawn
from online_models.exploration import Mask
from online_models.policies import Chooser, Slate


class Slot(NamedTuple):
    """What a slot got: the candidate's index, and P(candidate in this slot | slots above).

    `distribution` holds that chance for every candidate. `floor` is the lowest the propensity could be where chances
    are sampled, and 0 where they are exact formulas.
    """

    candidate: int
    propensity: float
    floor: float
    distribution: Vector


class Diversity(NamedTuple):
    """At most `most` candidates of one category; `category` has one code per candidate."""

    category: npt.NDArray[np.int64]
    most: int


def seed_of(policy_seed: int, decision_id: str) -> int:
    """Return the seed of a decision, a 128-bit hash (BLAKE2b) of its id under the policy's seed.

    >>> seed_of(7, "d-1") == seed_of(7, "d-1"), seed_of(7, "d-1") == seed_of(8, "d-1")
    (True, False)
    """
    key = policy_seed.to_bytes(8, "big", signed=True)
    return int.from_bytes(hashlib.blake2b(decision_id.encode(), key=key, digest_size=16).digest(), "big")


def rank(
    policy: Chooser, slate: Slate, slots: int, seed: int, eligible: Mask, diversity: Diversity | None = None
) -> tuple[Slot, ...]:
    """Return at most `slots` slots from the top, without replacement: fewer where no candidate is left.

    A candidate that is ineligible, already shown, or whose category is full is taken out before the draw, so that
    the propensities are exact. The same policy, slate and seed give the same ranking.
    """
    _check(slate.arms, eligible, diversity)
    if not eligible.any():
        return ()
    chance = np.random.Generator(np.random.PCG64(seed))
    return tuple(_filled(policy, slate, slots, chance, eligible.copy(), diversity))


def _filled(
    policy: Chooser, slate: Slate, slots: int, chance: np.random.Generator, open_: Mask, diversity: Diversity | None
) -> Iterator[Slot]:
    chances = policy.chances(slate, chance)
    taken: Counter[int] = Counter()
    for _ in range(slots):
        if not open_.any():
            return
        distribution = chances(open_)
        chosen = drawn(distribution, chance.random())
        yield Slot(chosen, float(distribution[chosen]), policy.floor, distribution)
        open_[chosen] = False
        if diversity is not None:
            _close(open_, int(diversity.category[chosen]), taken, diversity)


def _close(open_: Mask, category: int, taken: Counter[int], diversity: Diversity) -> None:
    """Take out all of the category that was taken from last, once it is full."""
    taken[category] += 1
    if taken[category] >= diversity.most:
        open_[diversity.category == category] = False


def _check(arms: Sequence[str], eligible: Mask, diversity: Diversity | None) -> None:
    if eligible.shape != (len(arms),):
        raise ValueError(f"expected {len(arms)} eligibilities, one per candidate, got shape {eligible.shape}")
    if diversity is not None and diversity.category.shape != (len(arms),):
        raise ValueError(f"expected {len(arms)} categories, one per candidate, got shape {diversity.category.shape}")
    if diversity is not None and diversity.most < 1:
        raise ValueError(f"at least one of a category must be allowed, got {diversity.most}")
