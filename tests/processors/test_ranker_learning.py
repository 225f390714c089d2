"""The ranker being taught: every example once, a version now and then, and exactly on after a restart."""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import numpy as np
import pytest

from online_models.base import Vector
from online_models.offers import AdditiveRanker
from online_models.snapshots import sign
from processors.model_orders import back_to
from processors.offer_features import NAMES
from processors.ranker_learner import RankerLearner, lessons_of
from processors.ranker_learning import OfferLearner
from schemas.offer_results import OfferExample, RankerVersion
from schemas.records import DAY
from streams.task import Task
from tests.builders import NOON, signed, verified
from tests.processors.offer_world import offer_example, record, taught


def published(task: Task, numbers: range) -> list[RankerVersion]:
    return [said.message for number in numbers for said in task.step(record(offer_example(number)))]


def test_a_version_is_published_when_there_are_examples_enough_and_the_model_is_ready() -> None:
    said = published(Task(OfferLearner(signed, verified, every=50), {}, {}), range(330))
    assert [each.examples for each in said] == [200, 250, 300]
    assert [each.version for each in said] == [1, 2, 3]


def test_a_version_is_published_when_the_last_is_old() -> None:
    task = Task(OfferLearner(signed, verified, every=1_000, at_most=DAY), {}, {})
    assert [each.examples for each in published(task, range(250))] == [200]
    later = offer_example(251, matured_at=NOON + 2 * DAY)
    (said,) = task.step(record(later))
    assert said.message.learned_through == NOON + 2 * DAY


def test_a_version_scores_as_a_model_that_learned_the_same() -> None:
    *_, last = published(Task(OfferLearner(signed, verified, every=300), {}, {}), range(300))
    model = AdditiveRanker(NAMES)
    model.restore(verified(b64decode(last.blob)))
    assert model.snapshot() == taught(last.examples).snapshot()
    assert last.rewarded == last.examples // 3 + 1
    assert last.metrics["count"] == last.examples


def test_examples_of_other_features_are_passed_over() -> None:
    task = Task(OfferLearner(signed, verified), {}, {})
    assert task.step(record(offer_example(features="other"))) == []
    assert task.states == {}


def test_an_order_puts_the_ranker_back_and_is_published_at_once() -> None:
    task = Task(OfferLearner(signed, verified, every=50), {}, {})
    first, *_, last = published(task, range(330))
    order = back_to(first, last, "ann")
    (said,) = task.step(record(order))
    assert (said.message.blob, said.message.examples, said.message.rewarded) == (
        first.blob,
        first.examples,
        first.rewarded,
    )
    assert (said.message.version, said.message.order, said.message.why) == (
        last.version + 1,
        order.event_id,
        "back from offers@3 to offers@1",
    )
    assert task.step(record(order)) == []
    learner = task.states["offers"]
    assert RankerLearner.restored(learner.snapshot()).order == order.event_id
    assert learner.packed() == verified(b64decode(first.blob))


def test_an_order_that_cannot_be_obeyed_changes_nothing() -> None:
    task = Task(OfferLearner(signed, verified, every=50), {}, {})
    first, *_, last = published(task, range(330))
    order = back_to(first, last)
    forged = b64encode(sign(verified(b64decode(first.blob)), b"another key")).decode()
    nonsense = b64encode(signed(b"nonsense")).decode()
    before = task.states["offers"].snapshot()
    for bad in ({"features": "f"}, {"blob": forged}, {"blob": nonsense}):
        assert task.step(record(msgspec.structs.replace(order, **bad))) == []
        assert task.states["offers"].snapshot() == before


def test_an_order_may_come_before_any_outcome() -> None:
    first, *_, last = published(Task(OfferLearner(signed, verified, every=50), {}, {}), range(330))
    task = Task(OfferLearner(signed, verified), {}, {})
    (said,) = task.step(record(back_to(first, last)))
    assert (said.message.event_id, said.message.examples) == ("offers@1", first.examples)


def test_a_learner_restored_goes_on_to_the_last_bit() -> None:
    straight, broken = RankerLearner(), RankerLearner()
    for number in range(300):
        straight.add(offer_example(number))
        broken.add(offer_example(number))
        if number % 37 == 0:
            broken = RankerLearner.restored(broken.snapshot())
    assert straight.snapshot() == broken.snapshot()


def test_an_example_that_no_version_scored_judges_none() -> None:
    learner = RankerLearner()
    learner.add(offer_example(version=0))
    assert learner.metrics.quality().count == 0


def test_nothing_to_learn_changes_nothing() -> None:
    learner = RankerLearner()
    before = learner.snapshot()
    learner.learn()
    assert learner.snapshot() == before


def learned(*examples: OfferExample, corrects: bool = True) -> RankerLearner:
    """Return the state of a learner that was told these."""
    task = Task(OfferLearner(signed, verified, corrects=corrects), {}, {})
    for example in examples:
        task.step(record(example))
    state: RankerLearner = task.states["offers"]
    state.learn()
    return state


def correction(of: OfferExample, reward: float, **changed: Any) -> OfferExample:
    """Return what corrects an example, a day after it had matured."""
    known = {"matured_at": of.matured_at + DAY, "late": True, "before": of.earned, "reward": reward}
    return msgspec.structs.replace(of, **known | changed)


def some(count: int, **changed: Any) -> list[OfferExample]:
    return [offer_example(number, **changed) for number in range(count)]


def scores(learner: RankerLearner) -> Vector:
    return np.array([learner.model.score_one(np.array(each.vector)) for each in some(50)])


def test_a_reward_between_0_and_1_is_learned_as_both_with_its_weight() -> None:
    told = [offer_example(1, reward=0.25, weight=2.0), offer_example(2, reward=1.0), offer_example(3, weight=0.5)]
    xs, labels, weights = lessons_of([*told, offer_example(4, reward=0.0, weight=0.1)])
    assert labels.tolist() == [1.0, 0.0, 1.0, 1.0, 0.0]
    assert weights.tolist() == [0.5, 1.5, 1.0, 0.5, 0.1]
    assert xs.tolist() == [list(offer_example(number).vector) for number in (1, 1, 2, 3, 4)]


def test_what_always_earns_a_quarter_is_expected_to_earn_a_quarter() -> None:
    learner = learned(*some(3_000, reward=0.25))
    assert scores(learner) == pytest.approx(np.full(50, 0.25), abs=0.03)


def test_a_correction_of_an_example_that_waits_for_the_knots_is_exact() -> None:
    examples = some(150)
    wrong = msgspec.structs.replace(examples[40], reward=0.3, weight=0.7)
    right = correction(wrong, 0.9)
    settled = msgspec.structs.replace(wrong, reward=0.9)
    corrected = learned(*examples[:40], wrong, *examples[41:], right, *some(300)[150:])
    expected = learned(*examples[:40], *examples[41:], settled, *some(300)[150:])
    assert corrected.model.snapshot() == expected.model.snapshot()


def test_a_correction_afterwards_is_learned_as_an_example_of_its_own() -> None:
    examples = some(300)
    right = correction(examples[7], 0.25)
    assert (
        learned(*examples, right).model.snapshot() == learned(*examples, offer_example(7, reward=0.25)).model.snapshot()
    )


def test_a_correction_is_no_other_example_and_is_not_judged_again() -> None:
    examples = some(300)
    learner = learned(*examples, correction(examples[3], 0.0), correction(examples[4], 1.0))
    figures = learner.figures()
    assert (learner.examples, learner.corrections, figures["corrections"], figures["count"]) == (300, 2, 2.0, 300.0)
    assert learner.learned_through == examples[4].matured_at + DAY


def test_a_learner_that_does_not_correct_passes_corrections_over() -> None:
    examples = some(300)
    late = correction(examples[7], 1.0)
    assert learned(*examples, late, corrects=False).snapshot() == learned(*examples).snapshot()
    assert Task(OfferLearner(signed, verified), {}, {}).step(record(late)) == []


def test_corrections_bring_a_version_too() -> None:
    task = Task(OfferLearner(signed, verified, every=250), {}, {})
    published(task, range(250))
    said = [out.message for each in some(250) for out in task.step(record(correction(each, 0.5, matured_at=NOON)))]
    assert [(each.version, each.examples, each.metrics["corrections"]) for each in said] == [(2, 250, 200.0)]


def test_a_version_tells_how_often_rewards_and_residuals_have_drifted() -> None:
    steady = learned(*some(900))
    assert (steady.figures()["reward_drifts"], steady.figures()["residual_drifts"]) == (0.0, 0.0)
    fallen, foreseen = (learned(*some(900), *some(600, label=False, score=score)) for score in (0.4, 0.0))
    assert (fallen.figures()["reward_drifts"], fallen.figures()["residual_drifts"]) == (1.0, 1.0)
    assert (foreseen.figures()["reward_drifts"], foreseen.figures()["residual_drifts"]) == (1.0, 0.0)
    task = Task(OfferLearner(signed, verified, every=300), {}, {})
    *_, last = published(task, range(300))
    assert {"reward_drifts", "residual_drifts"} <= last.metrics.keys()


def test_a_learner_restored_amid_corrections_goes_on_to_the_last_bit() -> None:
    straight, broken = RankerLearner(), RankerLearner()
    for number in range(300):
        for learner in (straight, broken):
            learner.add(offer_example(number, reward=number % 5 / 4))
            if number % 10 == 9:
                learner.correct(correction(offer_example(number - 5, reward=(number - 5) % 5 / 4), 0.75))
        if number % 37 == 0:
            broken = RankerLearner.restored(broken.snapshot())
    assert straight.snapshot() == broken.snapshot()


def test_a_snapshot_from_before_there_were_corrections_is_read() -> None:
    learner = learned(*some(300))
    old = msgspec.msgpack.encode(msgspec.msgpack.decode(learner.snapshot())[:8])
    restored = RankerLearner.restored(old)
    assert (restored.examples, restored.corrections) == (300, 0)
    assert restored.model.snapshot() == learner.model.snapshot()
