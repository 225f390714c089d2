"""A model is taught one example at a time, published now and then, and goes on exactly after a restart."""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from math import isnan
from typing import Any

import msgspec
import numpy as np
import pytest

from online_models.release import unpack
from online_models.snapshots import digest
from processors.learning import FraudLearner, Learner
from processors.model_orders import back_to
from schemas.records import DAY
from schemas.results import Example, ModelOrder, ModelVersion
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, example, heard, signed, verified

FEATURES = ("amount", "risk")
WARM_UP = 2_000
NEVER = 10**15


def learner(kind: str = "logistic", **settings: Any) -> Task:
    """Return a task that teaches the models `fraud` and `shadow`."""
    kinds = {"fraud": kind, "shadow": kind}
    settings = {"every": NEVER, "at_most": NEVER} | settings
    return Task(FraudLearner(FEATURES, "f", signed, verified, kinds, **settings), {}, {})


def taught(count: int, seed: int = 1, **changed: Any) -> list[Example]:
    """Return examples an hour apart, of which those of large amounts are often fraud."""
    random = np.random.default_rng(seed)
    amounts = random.exponential(50, count)
    frauds = random.random(count) < np.where(amounts > 100, 0.7, 0.02)
    risks = np.where(random.random(count) < 0.1, np.nan, random.random(count))
    columns = zip(amounts.tolist(), frauds.tolist(), risks.tolist(), strict=True)
    return [
        example(f"e{n}", NOON + n * HOUR, **{"label": fraud, "vector": (amount, risk), "score": 0.3} | changed)
        for n, (amount, fraud, risk) in enumerate(columns)
    ]


def versions(task: Task, examples: Iterable[Example]) -> list[ModelVersion]:
    return heard(task, *examples)


def state(task: Task, model: str = "fraud") -> Learner:
    kept = task.states[model]
    assert isinstance(kept, Learner)
    return kept


def test_a_version_is_published_every_so_many_examples() -> None:
    said = versions(learner(every=4), taught(13))
    assert [(each.version, each.examples) for each in said] == [(1, 4), (2, 8), (3, 12)]


def test_a_version_is_published_after_so_much_event_time() -> None:
    said = versions(learner(at_most=DAY), taught(50))
    assert [each.examples for each in said] == [1, 25, 49]


def test_nothing_is_published_before_the_model_is_ready() -> None:
    task, examples = learner("additive", at_most=DAY), taught(WARM_UP + 1)
    assert versions(task, examples[: WARM_UP - 1]) == []
    (first,) = versions(task, examples[WARM_UP - 1 :])
    assert (first.version, first.examples) == (1, WARM_UP)


def test_a_version_says_what_it_has_learned() -> None:
    examples = taught(40)
    (said,) = versions(learner(every=40), examples)
    assert (said.event_id, said.model, said.kind, said.features) == ("fraud@1", "fraud", "logistic", "f")
    assert said.frauds == sum(each.label for each in examples)
    assert said.learned_through == said.event_time == examples[-1].matured_at
    assert said.metrics["count"] == 40
    assert 0 <= said.metrics["roc_auc"] <= 1
    assert 0 <= said.metrics["average_precision"] <= 1


def test_a_figure_that_is_not_defined_is_not_published() -> None:
    (said,) = versions(learner(every=3), taught(3, label=False))
    assert "roc_auc" not in said.metrics
    assert not any(isnan(value) for value in said.metrics.values())


def judged(every: int, score: float, start: int = 0) -> list[Example]:
    """Return examples that are only judged: every so-manyth is fraud, and all had the same score."""
    said = {"vector": (50.0, 0.5), "score": score, "weight": 0.0}
    return [example(f"e{n}", NOON + n * HOUR, label=n % every == 0, **said) for n in range(start, start + 2_000)]


@pytest.mark.parametrize(
    ("every", "score", "drifts"),
    [(10, 0.1, (0, 0)), (2, 0.5, (1, 0)), (10, 0.5, (0, 1)), (2, 0.1, (1, 1))],
    ids=["nothing changes", "frauds and scores rise", "scores alone rise", "frauds alone rise"],
)
def test_a_version_tells_how_often_the_rate_of_frauds_and_the_residuals_changed(
    every: int, score: float, drifts: tuple[int, int]
) -> None:
    (said,) = versions(learner(every=4_000), [*judged(10, 0.1), *judged(every, score, start=2_000)])
    assert (said.metrics["label_drifts"], said.metrics["residual_drifts"]) == drifts


def test_a_learner_kept_before_drift_was_watched_begins_to_watch() -> None:
    task = learner(every=2_000)
    versions(task, judged(10, 0.1)[:50])
    codec = state_codec(task.processor)
    *older, _, _, _ = msgspec.msgpack.decode(codec.encode(task.states["fraud"]))
    task.states["fraud"] = codec.decode(msgspec.msgpack.encode(older))
    (said,) = versions(task, [*judged(10, 0.1)[:975], *judged(2, 0.1)[:975]])
    assert (said.examples, said.metrics["label_drifts"]) == (2_000, 1)


@pytest.mark.parametrize("kind", ["additive", "logistic", "forest"])
def test_what_is_published_is_the_signed_model_of_that_moment(kind: str) -> None:
    count = WARM_UP if kind == "additive" else 60
    task = learner(kind, every=count)
    (said,) = versions(task, taught(count))
    blob = b64decode(said.blob)
    assert said.digest == digest(blob)
    release, x = unpack(verified(blob), kind, FEATURES), np.array([250.0, 0.2])
    assert release.model.score_one(x) == state(task).release.model.score_one(x)
    assert release.calibrator.calibrate(0.2) == state(task).release.calibrator.calibrate(0.2)
    assert release.anomaly.score_one(x) == state(task).release.anomaly.score_one(x)


def test_learning_tells_fraud_from_genuine() -> None:
    task = learner("additive")
    versions(task, taught(WARM_UP + 500))
    model = state(task).release.model
    assert model.score_one(np.array([150.0, 0.5])) > 0.3
    assert model.score_one(np.array([10.0, 0.5])) < 0.1


def test_an_example_without_weight_is_counted_and_measured_but_not_learned() -> None:
    task = learner()
    versions(task, taught(30))
    x, before = np.array([250.0, 0.2]), state(task).release.model.score_one(np.array([250.0, 0.2]))
    versions(task, taught(5, label=True, weight=0.0))
    assert state(task).release.model.score_one(x) == before
    assert state(task).examples == state(task).metrics.quality().count == 35


def test_scores_of_the_rules_calibrate_no_model() -> None:
    by_rules, by_model = learner(), learner()
    versions(by_rules, taught(200, version=0, label=True))
    versions(by_model, taught(200, version=1, label=True))
    assert state(by_rules).release.calibrator.calibrate(0.3) == pytest.approx(0.3)
    assert state(by_model).release.calibrator.calibrate(0.3) > 0.5


def test_each_model_learns_from_its_own_examples() -> None:
    task = learner()
    versions(task, [*taught(5), *taught(3, model="shadow")])
    assert (state(task, "fraud").examples, state(task, "shadow").examples) == (5, 3)


def test_an_example_of_other_features_is_passed_over() -> None:
    task = learner()
    versions(task, [*taught(3), *taught(4, features="of an older release")])
    assert state(task).examples == 3


def test_the_rules_scores_are_not_the_models_quality() -> None:
    task = learner()
    versions(task, [*taught(3, version=0), *taught(4)])
    assert state(task).metrics.quality().count == 4


def test_an_example_of_a_model_that_is_no_longer_kept_is_passed_over() -> None:
    task = learner()
    assert versions(task, taught(3, model="retired")) == []
    assert task.states == {}


def test_a_missing_value_may_come_as_null() -> None:
    with_nan, with_null = learner(every=50), learner(every=50)
    (a,) = versions(with_nan, taught(50, vector=(30.0, float("nan"))))
    (b,) = versions(with_null, taught(50, vector=(30.0, None)))
    assert a.digest == b.digest


@pytest.mark.parametrize("cut", [1, WARM_UP - 1, WARM_UP, WARM_UP + 150])
def test_a_restored_learner_goes_on_bit_for_bit(cut: int) -> None:
    examples = taught(WARM_UP + 200)
    straight, restarted = learner("additive", every=150), learner("additive", every=150)
    codec = state_codec(restarted.processor)
    expected = versions(straight, examples)
    said = versions(restarted, examples[:cut])
    restarted.states["fraud"] = codec.decode(codec.encode(restarted.states["fraud"]))
    assert said + versions(restarted, examples[cut:]) == expected
    assert codec.encode(restarted.states["fraud"]) == codec.encode(straight.states["fraud"])


@pytest.mark.parametrize("kind", ["logistic", "forest"])
def test_rivers_models_are_restored_to_score_the_same(kind: str) -> None:
    straight, restarted = learner(kind), learner(kind)
    codec, examples = state_codec(restarted.processor), taught(120)
    versions(straight, examples)
    versions(restarted, examples[:70])
    restarted.states["fraud"] = codec.decode(codec.encode(restarted.states["fraud"]))
    versions(restarted, examples[70:])
    state(straight).learn()
    state(restarted).learn()
    for x in (np.array([amount, 0.3]) for amount in (5.0, 80.0, 400.0)):
        assert state(restarted).release.model.score_one(x) == state(straight).release.model.score_one(x)


def versions_and_orders(task: Task, *messages: Example | ModelOrder) -> list[ModelVersion]:
    return heard(task, *messages)


def test_a_model_that_was_rolled_back_scores_as_the_version_did_and_learns_on_from_it() -> None:
    examples, task, x = taught(90), learner(every=30), np.array([250.0, 0.2])
    one, two, three = versions(task, examples)
    (again,) = versions_and_orders(task, back_to(one, three, "ann"))
    assert (again.version, again.examples) == (4, 30)
    former, now = (unpack(verified(b64decode(each.blob)), "logistic", FEATURES) for each in (one, again))
    assert now.model.score_one(x) == former.model.score_one(x)
    assert (again.why, again.order) == ("back from fraud@3 to fraud@1", back_to(one, three, "ann").event_id)
    straight = learner(every=NEVER)
    versions(straight, [*examples[:30], *taught(20, seed=2)])
    versions(task, taught(20, seed=2))
    state(task).learn()
    state(straight).learn()
    assert state(task).release.model.score_one(x) == state(straight).release.model.score_one(x)
    assert two.order == ""


def test_an_order_is_obeyed_once() -> None:
    task = learner(every=30)
    one, two = versions(task, taught(60))
    order = back_to(one, two)
    assert len(versions_and_orders(task, order, order)) == 1
    versions(task, taught(5))
    assert versions_and_orders(task, order) == []
    assert state(task).examples == 35


def test_an_order_is_still_known_after_a_restart() -> None:
    task = learner(every=30)
    one, two = versions(task, taught(60))
    versions_and_orders(task, order := back_to(one, two))
    codec = state_codec(task.processor)
    task.states["fraud"] = codec.decode(codec.encode(task.states["fraud"]))
    assert versions_and_orders(task, order) == []


@pytest.mark.parametrize(
    "spoilt",
    [{"blob": b64encode(b"forged").decode()}, {"features": "others"}, {"kind": "forest"}, {"model": "unheard of"}],
)
def test_an_order_that_nothing_vouches_for_changes_nothing(spoilt: dict[str, str]) -> None:
    task = learner(every=30)
    one, two = versions(task, taught(60))
    before = state(task).release.model.snapshot()
    assert versions_and_orders(task, msgspec.structs.replace(back_to(one, two), **spoilt)) == []
    assert state(task).release.model.snapshot() == before
