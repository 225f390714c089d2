"""A model goes back to what it was, or to where it would be had it never learned what misled it."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from online_models.offers import AdditiveRanker
from online_models.release import Release, unpack
from online_models.snapshots import BadSignature, sign
from processors.learning import FraudLearner, mark
from processors.model_orders import Excluded, Past, back_to, on_from, taught_anew
from processors.offer_features import NAMES
from processors.ranker_learner import RankerLearner
from processors.ranker_learning import OfferLearner
from schemas.results import Example, ModelVersion
from streams.task import Task
from tests.builders import HOUR, NOON, heard, outcomes, record, signed, verified
from tests.processors.offer_world import offer_example, version

FEATURES = ("amount", "risk")
NO_RANKER = AdditiveRanker(NAMES)


def learner(every: int) -> Task:
    return Task(FraudLearner(FEATURES, "f", signed, verified, {"fraud": "logistic"}, every, at_most=10**15), {}, {})


def taught(examples: list[Example], every: int = 20) -> list[ModelVersion]:
    return heard(learner(every), *examples)


def past(taken: Sequence[Any]) -> Past:
    """Return what a log has that a learner took as these."""
    found = Past()
    for each in taken:
        found.add(each)
        found.note(mark(each.event_id))
    return found


def unlearned(base: Any, taken: Sequence[Any]) -> Sequence[Any]:
    """Return what a version had not learned of these."""
    return taken[past(taken).place(base).learned :]


def behind(lags: Sequence[int]) -> list[Example]:
    """Return outcomes that matured so many hours before their turn."""
    made = outcomes(len(lags))
    return [replace(each, matured_at=each.matured_at - lag * HOUR) for each, lag in zip(made, lags, strict=True)]


def scores(release: Release) -> list[float]:
    return [release.model.score_one(np.array([amount, 0.1])) for amount in (1.0, 20.0, 300.0)]


def published(version: ModelVersion) -> Release:
    return unpack(verified(b64decode(version.blob)), "logistic", FEATURES)


def test_a_model_taught_anew_is_the_one_that_never_learned_what_was_left_out() -> None:
    examples = outcomes(100, range(50, 60))
    versions = taught(examples)
    honest = [each for each in examples if each.source != "liar"]
    anew = taught_anew(versions[1], versions[-1], honest[40:], FEATURES, verified)
    (never,) = taught(honest, every=len(honest))
    assert scores(anew.release) == scores(published(never))
    assert (anew.examples, anew.frauds) == (90, sum(each.label for each in honest))


def test_from_nothing_it_learns_all_there_is() -> None:
    examples = outcomes(60)
    versions = taught(examples)
    anew = taught_anew(None, versions[-1], examples, FEATURES, verified)
    assert scores(anew.release) == scores(published(versions[-1]))


def test_what_is_ordered_is_what_was_taught_anew() -> None:
    examples = outcomes(60, range(50, 60))
    versions = taught(examples)
    anew = taught_anew(versions[0], versions[-1], examples[20:50], FEATURES, verified)
    order = on_from(anew, versions[-1], signed, "a source lied", "ann")
    assert (order.examples, order.learned_through) == (50, examples[49].matured_at)
    assert (order.why, order.by, order.kind, order.features) == ("a source lied", "ann", "logistic", "f")
    assert (
        unpack(verified(b64decode(order.blob)), "logistic", FEATURES).model.snapshot() == anew.release.model.snapshot()
    )


def test_the_same_order_given_twice_has_the_same_id_and_another_has_another() -> None:
    one, two, three = taught(outcomes(60))
    assert back_to(one, three).event_id == back_to(one, three, "bob").event_id
    assert back_to(one, three).event_id != back_to(two, three).event_id


def test_a_ranker_taught_anew_is_the_one_that_never_learned_what_was_left_out() -> None:
    examples = [offer_example(n, decision=f"d{n % 9}") for n in range(330)]
    examples += [offer_example(n, late=True, before=examples[n].earned, reward=1.0) for n in range(3)]
    versions = heard(Task(OfferLearner(signed, verified, every=50), {}, {}), *examples)
    honest = [each for each in examples if each.decision != "d7"]
    (never,) = heard(Task(OfferLearner(signed, verified, len(honest), 10**15), {}, {}), *honest)
    anew = taught_anew(None, versions[-1], honest, (), verified)
    assert anew.packed() == verified(b64decode(never.blob))
    order = on_from(anew, versions[-1], signed, "d7 was wrong")
    assert (order.kind, order.examples, order.model) == ("ranker", anew.examples, "offers")
    on = taught_anew(versions[0], versions[-1], unlearned(versions[0], examples), (), verified)
    assert on.examples == len(examples) - 3


@settings(max_examples=15)
@given(lags=st.lists(st.integers(0, 90), min_size=60, max_size=60))
def test_a_model_taught_on_from_any_version_learns_all_since_in_whatever_order_it_matured(lags: list[int]) -> None:
    examples = behind(lags)
    versions = taught(examples)
    for base in versions:
        anew = taught_anew(base, versions[-1], unlearned(base, examples), FEATURES, verified)
        assert anew.examples == 60
        assert scores(anew.release) == scores(published(versions[-1]))


@given(lags=st.lists(st.integers(0, 9), min_size=60, max_size=60))
def test_a_version_that_does_not_tell_its_place_is_placed_by_time_so_that_nothing_is_learned_twice(
    lags: list[int],
) -> None:
    log = past(behind(lags))
    for learned in range(1, 60):
        reached = max(each.matured_at for each in log.outcomes[:learned])
        place = log.place(version(NO_RANKER, last="", learned_through=reached))
        assert place.learned - place.doubtful <= learned <= place.learned


def test_a_version_from_before_all_that_the_log_has_had_learned_none_of_it() -> None:
    log = past(outcomes(20))
    assert log.place(None) == log.place(version(NO_RANKER, last="gone")) == (0, 0)
    assert log.place(version(NO_RANKER, last="", learned_through=NOON)) == (0, 0)
    assert log.unseen(version(NO_RANKER, last="gone", examples=1))
    assert not log.unseen(None)


def test_a_ranker_taught_on_learns_what_matured_before_the_version_and_was_learned_behind_it() -> None:
    examples = [offer_example(n) for n in (*range(300), *range(350, 400), *range(300, 350))]
    *_, base, last = heard(Task(OfferLearner(signed, verified, every=50), {}, {}), *examples)
    assert base.learned_through == last.learned_through
    anew = taught_anew(base, last, unlearned(base, examples), (), verified)
    assert (anew.examples, anew.packed()) == (400, verified(b64decode(last.blob)))


def test_what_corrects_a_ranker_before_there_is_one_is_passed_over_as_the_learner_does() -> None:
    examples = [offer_example(n, late=True, before=0.0) for n in range(3)] + [offer_example(n) for n in range(200)]
    (live,) = heard(Task(OfferLearner(signed, verified), {}, {}), *examples)
    anew = taught_anew(None, live, examples, (), verified)
    assert isinstance(anew, RankerLearner)
    assert (anew.corrections, anew.packed()) == (0, verified(b64decode(live.blob)))


def test_a_fraud_model_learns_a_late_outcome_first_of_all() -> None:
    examples = [replace(each, late=True) for each in outcomes(20)]
    (live,) = taught(examples)
    assert taught_anew(None, live, examples, FEATURES, verified).examples == 20


@pytest.mark.parametrize("kind", ["fraud", "offers"])
def test_a_model_put_back_tells_the_place_of_the_version_it_was_put_back_to(kind: str) -> None:
    if kind == "fraud":
        task, taken = learner(20), [*map(record, outcomes(60))]
    else:
        task, taken = (
            Task(OfferLearner(signed, verified, every=20), {}, {}),
            [record(offer_example(n)) for n in range(300)],
        )
    first, *_, newest = heard(task, *taken)
    (back,) = heard(task, back_to(first, newest))
    assert (first.last, newest.last) == (mark(taken[first.examples - 1].id), mark(taken[-1].id))
    assert back.last == first.last
    restored = type(task.states[kind]).restored(task.states[kind].snapshot())
    assert restored.last == first.last


def test_no_model_is_taught_on_from_a_version_that_another_key_signed() -> None:
    one, two = taught(outcomes(40))
    forged = sign(verified(b64decode(one.blob)), b"another key")
    with pytest.raises(BadSignature):
        taught_anew(one, two, [], FEATURES, lambda _: verified(forged))


@pytest.mark.parametrize("text", ["source", "colour=red", "=liar", ""])
def test_an_exclusion_names_a_field_of_outcomes_and_a_value(text: str) -> None:
    with pytest.raises(ValueError, match="FIELD=VALUE with a field of source"):
        Excluded.parsed(text)


def test_an_exclusion_has_the_outcomes_of_its_value() -> None:
    excluded = Excluded.parsed("source=liar")
    assert [excluded.has(each) for each in outcomes(3, range(1, 2))] == [False, True, False]
