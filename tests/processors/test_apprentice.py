"""An apprentice only imitates: the rules' order is served, and how far the model agrees is told exactly."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.snapshots import digest, sign
from processors.apprentice import agreement
from processors.base import Tables
from processors.offer_context import new_context
from processors.offers import OfferRanker
from schemas.offer_results import Ranking
from schemas.offer_topics import RANKERS
from schemas.results import Reason
from streams.assembly import offer_pipeline
from streams.replay import Replay
from streams.settings import Settings
from streams.task import Task
from tests.builders import NOON, base64, verified
from tests.processors.offer_world import CATALOGUE, record, request, tables, taught, usage, version

numbers = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)
USED = [usage(each.offer, impressions=40, redemptions=redeemed) for redeemed, each in enumerate(CATALOGUE)]


def ranked(decides: str, known: Tables) -> Ranking:
    ranker = OfferRanker(verified, policy="greedy", decides="rules" if decides == "rules" else "model")
    (said,) = Task(ranker, {}, known).step(record(request()))
    found: Ranking = said.message
    return found


def served(ranking: Ranking) -> list[tuple[str, float, float, tuple[Reason, ...]]]:
    return [(slot.offer, slot.score, slot.propensity, slot.reasons) for slot in ranking.slots]


@given(preferences=numbers)
def test_pairs_are_counted_one_by_one(preferences: list[tuple[int, int]]) -> None:
    rules, model = np.array(preferences, dtype=np.float64).T
    pairs = [(a, b) for a, b in combinations(preferences, 2) if a[0] != b[0]]
    alike = sum(0.5 if a[1] == b[1] else (a[0] < b[0]) == (a[1] < b[1]) for a, b in pairs)
    found = agreement(rules, model, 3)
    assert found.pairs == (pytest.approx(alike / len(pairs)) if pairs else None)
    assert found.top == (rules.argmax() == model.argmax())
    assert found.version == 3


def test_the_rules_are_served_and_the_model_is_compared() -> None:
    known = tables(*CATALOGUE, ranker=version(taught()), used=USED)
    alone, imitated = ranked("rules", tables(*CATALOGUE, used=USED)), ranked("rules", known)
    assert served(imitated) == served(alone)
    assert (imitated.source, imitated.version, imitated.degraded) == ("rules", 0, False)
    learned = ranked("model", known)
    assert learned.source == "model"
    assert learned.agreement is None
    assert imitated.agreement == agreement(np.array(imitated.scores), np.array(learned.scores), 1)


def test_without_a_model_there_is_nothing_to_agree() -> None:
    assert ranked("rules", tables(*CATALOGUE, used=USED)).agreement is None
    assert ranked("rules", tables(*CATALOGUE)).source == "prior"


def test_without_candidates_there_is_nothing_to_agree_on() -> None:
    known = tables(ranker=version(taught()))
    ranker = OfferRanker(verified, decides="rules")
    state, said = ranker.step(new_context(NOON), record(request(offers=("unknown",))), known)
    (each,) = said
    assert state is not None
    assert (each.message.agreement, each.message.slots) == (None, ())


@pytest.mark.parametrize("apprentice", [False, True])
def test_it_is_switched_on_and_off_by_configuration(apprentice: bool) -> None:
    settings = Settings(apprentice=apprentice, policy="greedy", ranking_throttle=0)
    blob = sign(taught().snapshot(), key=settings.key("models"))
    engine = Replay(offer_pipeline(settings))
    engine.tables[RANKERS]["offers"] = version(taught(), blob=base64(blob), digest=digest(blob))
    said = [each.message for one in (*CATALOGUE, request()) for each in engine.step(record(one))]
    (made,) = (each for each in said if isinstance(each, Ranking))
    assert (made.source == "model", made.agreement is None) == (not apprentice, not apprentice)
