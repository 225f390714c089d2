"""The ranker being taught: every example once, a version now and then, and exactly on after a restart."""

from base64 import b64decode

from online_models.offers import AdditiveRanker
from processors.offer_features import NAMES
from processors.ranker_learning import OfferLearner, RankerLearner
from schemas.offer_results import RankerVersion
from schemas.records import DAY
from streams.task import Task
from tests.builders import NOON, signed, verified
from tests.processors.offer_world import offer_example, record, taught


def published(task: Task, numbers: range) -> list[RankerVersion]:
    return [said.message for number in numbers for said in task.step(record(offer_example(number)))]


def test_a_version_is_published_when_there_are_examples_enough_and_the_model_is_ready() -> None:
    said = published(Task(OfferLearner(signed, every=50), {}, {}), range(330))
    assert [each.examples for each in said] == [200, 250, 300]
    assert [each.version for each in said] == [1, 2, 3]


def test_a_version_is_published_when_the_last_is_old() -> None:
    task = Task(OfferLearner(signed, every=1_000, at_most=DAY), {}, {})
    assert [each.examples for each in published(task, range(250))] == [200]
    later = offer_example(251, matured_at=NOON + 2 * DAY)
    (said,) = task.step(record(later))
    assert said.message.learned_through == NOON + 2 * DAY


def test_a_version_scores_as_a_model_that_learned_the_same() -> None:
    *_, last = published(Task(OfferLearner(signed, every=300), {}, {}), range(300))
    model = AdditiveRanker(NAMES)
    model.restore(verified(b64decode(last.blob)))
    assert model.snapshot() == taught(last.examples).snapshot()
    assert last.rewarded == last.examples // 3 + 1
    assert last.metrics["count"] == last.examples


def test_examples_of_other_features_are_passed_over() -> None:
    task = Task(OfferLearner(signed), {}, {})
    assert task.step(record(offer_example(features="other"))) == []
    assert task.states == {}


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
