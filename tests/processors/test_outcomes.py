"""When a payment's truth is known, who is told, and what is learned from it: at most once per class."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.outcomes import FraudOutcomes
from schemas.events import Feedback
from schemas.records import DAY
from schemas.results import Example, FraudScore, Label
from schemas.topics import EXAMPLES, SCORES
from streams.task import Task
from tests.builders import HOUR, NOON, card_features, feedback, heard, record, score

WEEK = NOON + 7 * DAY


class Desk:
    """Where scores and feedback arrive, and what is said about them."""

    def __init__(self) -> None:
        self.task = Task(FraudOutcomes(), {}, {})

    def take(self, *messages: Any) -> list[Any]:
        return heard(self.task, *messages)

    def wait_until(self, at: int) -> list[Any]:
        """Let the watermark reach a time, by the score of somebody else's payment."""
        said = self.take(score(f"elsewhere{at}", at))
        return [message for message in said if not message.event_id.startswith("elsewhere")]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def examples(said: list[Any]) -> list[Example]:
    return [message for message in said if isinstance(message, Example)]


def labels(said: list[Any]) -> list[Label]:
    return [message for message in said if isinstance(message, Label)]


def test_a_chargeback_teaches_fraud_at_once_on_the_vector_of_the_score(desk: Desk) -> None:
    desk.take(score(vector=(1.5, None, 3.0), probability=0.25, user="ann", terminal="t9", tenant="acme"))
    (taught,) = examples(desk.take(feedback(at=NOON + HOUR, source="bank", confidence=0.9, tenant="acme")))
    assert (taught.label, taught.late, taught.matured_at, taught.weight) == (True, False, NOON + HOUR, 1.0)
    assert str(taught.vector) == "(1.5, nan, 3.0)"
    assert (taught.model, taught.version, taught.score, taught.probability) == ("fraud", 3, 0.4, 0.25)
    assert (taught.source, taught.confidence, taught.user, taught.terminal) == ("bank", 0.9, "ann", "t9")
    assert (taught.tenant, taught.event_time, taught.amount, taught.currency) == ("acme", NOON, 25.0, "EUR")


def test_both_who_keep_a_payments_history_are_told_that_it_was_fraud(desk: Desk) -> None:
    desk.take(score())
    told = [(said.topic.name, said.message) for said in desk.task.step(record(feedback(at=NOON + HOUR)))]
    label = Label(event_id="tx-1", event_time=NOON, user="ann", terminal="t1", fraud=True, known_at=NOON + HOUR)
    assert told[:2] == [("labels.by-customer", label), ("labels.by-terminal", label)]
    assert [topic for topic, _ in told[2:]] == ["examples"]


def test_a_payment_without_feedback_matures_as_genuine_once_the_watermark_exceeds_its_window(desk: Desk) -> None:
    desk.take(score(weight=4.0))
    assert desk.wait_until(WEEK) == []
    (matured,) = desk.wait_until(WEEK + 1)
    assert (matured.label, matured.late, matured.source, matured.confidence) == (False, False, "window", 1.0)
    assert (matured.matured_at, matured.weight) == (WEEK, 4.0)


def test_a_label_dated_at_the_windows_end_is_in_time(desk: Desk) -> None:
    desk.take(score())
    (taught,) = examples(desk.take(feedback(at=WEEK)))
    assert (taught.label, taught.late) == (True, False)
    assert desk.wait_until(WEEK + DAY) == []


def test_a_chargeback_after_its_window_trains_once_as_fraud_and_is_marked_late(desk: Desk) -> None:
    desk.take(score())
    assert [each.label for each in desk.wait_until(WEEK + 1)] == [False]
    late = desk.take(feedback(at=WEEK + 2))
    assert [(each.label, each.late) for each in examples(late)] == [(True, True)]
    assert [each.fraud for each in labels(late)] == [True, True]
    assert desk.take(feedback(at=WEEK + 3, kind="dispute")) == []


def test_what_is_known_is_forgotten_after_the_late_horizon(desk: Desk) -> None:
    desk.take(score())
    desk.wait_until(WEEK + 1)
    desk.wait_until(WEEK + 30 * DAY + 1)
    assert "tx-1" not in desk.task.states
    assert desk.take(feedback(at=WEEK + 31 * DAY)) == []


def test_a_verdict_that_it_was_genuine_teaches_before_the_window_has_passed(desk: Desk) -> None:
    desk.take(score())
    said = desk.take(feedback(at=NOON + HOUR, kind="verdict", verdict="genuine"))
    assert [(each.label, each.source) for each in examples(said)] == [(False, "upstream")]
    assert [each.fraud for each in labels(said)] == [False, False]
    assert desk.wait_until(WEEK + 1) == []


def test_a_reversal_tells_and_teaches_that_it_was_genuine_after_all(desk: Desk) -> None:
    desk.take(score(), feedback(at=NOON + HOUR))
    said = desk.take(feedback(at=NOON + DAY, kind="reversal"))
    assert [each.label for each in examples(said)] == [False]
    assert [each.fraud for each in labels(said)] == [False, False]


def test_a_change_of_mind_is_told_each_time_and_taught_once(desk: Desk) -> None:
    desk.take(score())
    verdicts = [("fraud", 1), ("genuine", 2), ("fraud", 3), ("genuine", 4)]
    said = desk.take(*(feedback(at=NOON + n * HOUR, kind="verdict", verdict=verdict) for verdict, n in verdicts))
    assert [each.label for each in examples(said)] == [True, False]
    assert [each.fraud for each in labels(said)] == [True, True, False, False] * 2


@pytest.mark.parametrize("fields", [{"kind": "rating", "value": 5.0}, {"kind": "reward", "value": 1.0}])
def test_feedback_that_says_nothing_of_fraud_changes_nothing(desk: Desk, fields: dict[str, Any]) -> None:
    assert desk.take(feedback(**fields)) == []
    assert desk.task.states == {}


def test_feedback_before_its_score_waits_for_it(desk: Desk) -> None:
    assert desk.take(feedback(at=NOON + HOUR)) == []
    said = desk.take(score())
    assert [(each.label, each.late) for each in examples(said)] == [(True, False)]
    assert [each.known_at for each in labels(said)] == [NOON + HOUR] * 2
    assert desk.wait_until(WEEK + 1) == []


def test_feedback_whose_score_never_comes_is_forgotten(desk: Desk) -> None:
    desk.take(feedback(at=NOON))
    desk.wait_until(NOON + 30 * DAY + 1)
    assert "tx-1" not in desk.task.states


def test_the_first_score_of_a_payment_is_the_one_that_is_learned_from(desk: Desk) -> None:
    desk.take(score(version=3), score(version=4))
    assert [each.version for each in desk.wait_until(WEEK + 1)] == [3]


def test_models_in_the_shadow_learn_from_their_own_scores(desk: Desk) -> None:
    desk.take(score(shadow={"forest": 0.7, "logistic": 0.2}))
    said = examples(desk.take(feedback(at=NOON + HOUR)))
    assert [(each.model, each.score, each.probability) for each in said] == [
        ("fraud", 0.4, 0.3),
        ("forest", 0.7, 0.7),
        ("logistic", 0.2, 0.2),
    ]
    assert {EXAMPLES.key(each) for each in said} == {"fraud", "forest", "logistic"}


def test_tenants_with_equal_event_ids_are_apart(desk: Desk) -> None:
    desk.take(score(tenant="a"), score(tenant="b"))
    assert [each.tenant for each in examples(desk.take(feedback(at=NOON + 1, tenant="b")))] == ["b"]


def test_an_example_left_out_by_sampling_keeps_its_weight_of_none(desk: Desk) -> None:
    desk.take(score("a", weight=0.0), score("b", weight=0.0))
    (fraud,) = examples(desk.take(feedback("a", at=NOON + 1)))
    (genuine,) = desk.wait_until(WEEK + 1)
    assert (fraud.weight, genuine.weight) == (1.0, 0.0)


def test_a_message_it_does_not_read_is_a_bug(desk: Desk) -> None:
    with pytest.raises(TypeError, match="outcomes does not read CardFeatures"):
        desk.take(record(card_features(), SCORES, id="x"))


ids = st.sampled_from(["a", "b", "c"])
hours = st.integers(0, 20 * 24).map(lambda n: NOON + n * HOUR)
scores = st.builds(score, ids, hours)
feedbacks = st.builds(
    lambda about, at, said: feedback(about, at, **said),
    ids,
    hours,
    st.sampled_from(
        [
            {"kind": "chargeback"},
            {"kind": "dispute"},
            {"kind": "reversal"},
            {"kind": "rating"},
            {"kind": "verdict", "verdict": "fraud"},
            {"kind": "verdict", "verdict": "genuine"},
        ]
    ),
)
arrivals = st.lists(scores | feedbacks, max_size=30)


@given(arrivals)
def test_an_example_is_taught_at_most_once_per_class_whatever_the_order(messages: list[FraudScore | Feedback]) -> None:
    desk = Desk()
    said = desk.take(*messages) + desk.wait_until(NOON + 28 * DAY)
    taught = Counter((each.event_id, each.label) for each in examples(said))
    assert set(taught.values()) <= {1}
    scored = {message.event_id for message in messages if isinstance(message, FraudScore)}
    assert {event_id for event_id, _ in taught} == scored


@given(arrivals)
def test_the_label_told_last_is_what_was_said_last(messages: list[FraudScore | Feedback]) -> None:
    desk = Desk()
    told = {each.event_id: each.fraud for each in labels(desk.take(*messages))}
    scored = {message.event_id for message in messages if isinstance(message, FraudScore)}
    said = {
        message.about: message.fraud()
        for message in messages
        if isinstance(message, Feedback) and message.fraud() is not None
    }
    assert told == {event_id: fraud for event_id, fraud in said.items() if event_id in scored}


@given(arrivals)
def test_an_example_is_late_only_after_another_one_of_its_payment(messages: list[FraudScore | Feedback]) -> None:
    desk = Desk()
    seen: set[str] = set()
    for example in examples(desk.take(*messages) + desk.wait_until(NOON + 28 * DAY)):
        assert example.late == (example.event_id in seen)
        seen.add(example.event_id)
