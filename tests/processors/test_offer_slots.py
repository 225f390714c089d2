"""The propensity that a ranking logs is how often its slot would get that offer, over 100,000 simulated decisions."""

from collections import Counter, defaultdict
from itertools import zip_longest
from math import sqrt

import numpy as np
import pytest

from processors.offer_scoring import Scored
from processors.offer_slots import POLICIES, SlotFiller
from processors.offer_terms import Candidate, terms_of
from tests.processors.offer_world import offer, usage

DRAWS = 100_000
TERMS = [terms_of(offer(name, category=category)) for name, category in zip("abcd", "xxyz", strict=True)]


def scored(*redemptions: int, impressions: int = 40) -> Scored:
    """Return four candidates that have been redeemed so often in so many shows; never shown without."""
    used = [usage(impressions=impressions, redemptions=count) for count in redemptions]
    candidates = [Candidate(*each) for each in zip_longest(TERMS, used)]
    return Scored(candidates, np.empty((4, 0)), np.array([0.20, 0.22, 0.21, 0.19]), "model", 1, None, False)


SCORED = scored(4, 6, 8, 10)


def test_simulated_draws_agree_with_the_logged_propensities() -> None:
    filler = SlotFiller("softmax", seed=7, most_per_category=1)
    seen, told = defaultdict[tuple[int, ...], Counter[int]](Counter), dict[tuple[int, ...], float]()
    for number in range(DRAWS // 2):
        above: tuple[int, ...] = ()
        for slot in filler.fill(f"d-{number}", 2, SCORED):
            seen[above][slot.candidate] += 1
            above = (*above, slot.candidate)
            assert told.setdefault(above, slot.propensity) == slot.propensity
    assert sum(count.total() for count in seen.values()) == DRAWS
    assert len(told) == 4 + 4 * 3 - 2
    for (*before, chosen), propensity in told.items():
        counts = seen[tuple(before)]
        error = sqrt(propensity * (1 - propensity) / counts.total())
        assert abs(counts[chosen] / counts.total() - propensity) < 4.5 * error


@pytest.mark.parametrize("policy", POLICIES)
def test_mean_propensities_are_the_frequencies_under_every_policy(policy: str) -> None:
    filler = SlotFiller(policy, seed=3)
    seen, expected = defaultdict[int, float](float), np.zeros(4)
    for number in range(2_000):
        (slot,) = filler.fill(f"d-{number}", 1, SCORED)
        seen[slot.candidate] += 1 / 2_000
        expected += slot.distribution / 2_000
    assert np.abs(np.array([seen[at] for at in range(4)]) - expected).max() < 0.05


def test_thompson_sampling_doubts_what_was_rarely_shown_more() -> None:
    rare, often = scored(1, 1, 1, 1, impressions=4), scored(*[10_000] * 4, impressions=40_000)
    filler = SlotFiller("thompson")
    spread = [
        np.mean([filler.fill(f"d-{n}", 1, used)[0].distribution.max() for n in range(50)])
        for used in (rare, often, scored())
    ]
    assert spread[2] < spread[0] < 0.9 < spread[1]


def test_an_upper_bound_shows_what_is_known_least_where_scores_are_close() -> None:
    known = usage(impressions=10_000, redemptions=2_000)
    candidates = [Candidate(terms, None if terms.offer == "d" else known) for terms in TERMS]
    (slot,) = SlotFiller("ucb").fill("d-1", 1, SCORED._replace(candidates=candidates))
    assert slot.distribution.argmax() == 3 != SCORED.scores.argmax()
    (slot,) = SlotFiller("ucb").fill("d-1", 1, scored(*[2_000] * 4, impressions=10_000))
    assert slot.distribution.argmax() == SCORED.scores.argmax()


def test_inverse_gap_weighting_explores_the_less_the_more_was_shown() -> None:
    filler = SlotFiller("squarecb")
    best = [
        float(filler.fill("d-1", 1, scored(*[shown // 10] * 4, impressions=shown))[0].distribution[1])
        for shown in (10, 1_000, 100_000)
    ]
    assert best == sorted(best)
    assert best[0] < 0.5 < best[2]


def test_nothing_to_show_fills_no_slot() -> None:
    nothing = Scored([], np.empty((0, 0)), np.empty(0), "prior", 0, None, False)
    assert SlotFiller().fill("d-1", 3, nothing) == ()
