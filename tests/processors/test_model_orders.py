"""A model goes back to what it was, or to where it would be had it never learned what misled it."""

from base64 import b64decode

import numpy as np
import pytest

from online_models.release import Release, unpack
from online_models.snapshots import BadSignature, sign
from processors.learning import FraudLearner
from processors.model_orders import Excluded, back_to, on_from, taught_anew
from processors.ranker_learning import OfferLearner
from schemas.results import Example, ModelVersion
from streams.task import Task
from tests.builders import HOUR, NOON, example, heard, signed, verified
from tests.processors.offer_world import offer_example

FEATURES = ("amount", "risk")


def learner(every: int) -> Task:
    return Task(FraudLearner(FEATURES, "f", signed, verified, {"fraud": "logistic"}, every, at_most=10**15), {}, {})


def outcomes(count: int, poisoned: range) -> list[Example]:
    """Return outcomes an hour apart; those of the range come from a source that lies."""
    return [
        example(
            f"e{n}",
            NOON + n * HOUR,
            label=n % 7 == 0 or n in poisoned,
            vector=(float(n % 90), 0.1),
            source="liar" if n in poisoned else "window",
        )
        for n in range(count)
    ]


def taught(examples: list[Example], every: int = 20) -> list[ModelVersion]:
    return heard(learner(every), *examples)


def scores(release: Release) -> list[float]:
    return [release.model.score_one(np.array([amount, 0.1])) for amount in (1.0, 20.0, 300.0)]


def published(version: ModelVersion) -> Release:
    return unpack(verified(b64decode(version.blob)), "logistic", FEATURES)


def test_a_model_taught_anew_is_the_one_that_never_learned_what_was_left_out() -> None:
    examples = outcomes(100, range(50, 60))
    versions = taught(examples)
    honest = [each for each in examples if each.source != "liar"]
    anew = taught_anew(versions[1], versions[-1], honest, FEATURES, verified)
    (never,) = taught(honest, every=len(honest))
    assert scores(anew.release) == scores(published(never))
    assert (anew.examples, anew.frauds) == (90, sum(each.label for each in honest))


def test_from_nothing_it_learns_all_there_is() -> None:
    examples = outcomes(60, range(0))
    versions = taught(examples)
    anew = taught_anew(None, versions[-1], examples, FEATURES, verified)
    assert scores(anew.release) == scores(published(versions[-1]))


def test_what_is_ordered_is_what_was_taught_anew() -> None:
    examples = outcomes(60, range(50, 60))
    versions = taught(examples)
    anew = taught_anew(versions[0], versions[-1], examples[:50], FEATURES, verified)
    order = on_from(anew, versions[-1], signed, "a source lied", "ann")
    assert (order.examples, order.learned_through) == (50, examples[49].matured_at)
    assert (order.why, order.by, order.kind, order.features) == ("a source lied", "ann", "logistic", "f")
    assert (
        unpack(verified(b64decode(order.blob)), "logistic", FEATURES).model.snapshot() == anew.release.model.snapshot()
    )


def test_the_same_order_given_twice_has_the_same_id_and_another_has_another() -> None:
    one, two, three = taught(outcomes(60, range(0)))
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
    on = taught_anew(versions[0], versions[-1], examples, (), verified)
    assert on.examples == len(examples) - 3


def test_no_model_is_taught_on_from_a_version_that_another_key_signed() -> None:
    one, two = taught(outcomes(40, range(0)))
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
