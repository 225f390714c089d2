"""Topics wire a pipeline; what cannot be wired is refused when it is built."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.records import AnyTopic, Topic
from schemas.topics import (
    ALERTS,
    CARD_FEATURES,
    CUSTOMER_LABELS,
    CUSTOMER_RISKS,
    EXAMPLES,
    FEEDBACK,
    MODEL_ALIASES,
    MODEL_ORDERS,
    MODELS,
    SCORES,
    TERMINAL_LABELS,
    TRANSACTIONS,
)
from streams.assembly import fraud_pipeline
from streams.pipeline import Pipeline
from streams.settings import Settings
from tests.streams.arrivals import COUNTS, VISITS, Visit


@dataclass(frozen=True)
class Mute:
    """A processor that only says what it would read and write."""

    name: str
    inputs: tuple[AnyTopic, ...] = ()
    outputs: tuple[AnyTopic, ...] = ()
    tables: tuple[AnyTopic, ...] = ()
    state: type = field(default=dict)

    def step(self, state: Any, record: Any, tables: Any) -> Any:
        """Say nothing."""
        return state, ()


def test_two_processors_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two processors are called scorer"):
        Pipeline((Mute("scorer"), Mute("scorer"), Mute("other")))


def test_joined_topics_of_different_partition_counts_are_refused_by_name() -> None:
    wide = Topic("wide", Visit, key=lambda m: m.guest, time=lambda m: m.at, partitions=8)
    with pytest.raises(ValueError, match=r"join joins topics of different partition counts.*'visits': 4.*'wide': 8"):
        Pipeline((Mute("join", inputs=(VISITS, wide)),))


def test_a_topic_that_nobody_writes_comes_from_outside() -> None:
    pipeline = Pipeline((Mute("a", (VISITS,), (COUNTS,)), Mute("b", (COUNTS, VISITS))))
    assert pipeline.sources == (VISITS,)
    assert pipeline.outputs == (COUNTS,)
    assert [processor.name for processor in pipeline.readers(VISITS)] == ["a", "b"]
    assert pipeline.readers(SCORES) == ()


def test_what_is_bad_in_a_topic_is_told_by_the_first_that_reads_it() -> None:
    first, second = Mute("a", (VISITS,)), Mute("b", (COUNTS, VISITS))
    pipeline = Pipeline((first, second))
    assert (pipeline.first_of(first), pipeline.first_of(second)) == ({VISITS}, {COUNTS})
    assert Pipeline(()).first_of(second) == {COUNTS, VISITS}


def test_the_fraud_pipeline_needs_only_transactions_feedback_and_orders_to_its_learner() -> None:
    pipeline = fraud_pipeline(Settings())
    assert set(pipeline.sources) == {TRANSACTIONS, FEEDBACK, MODEL_ORDERS}
    assert set(pipeline.outputs) == {
        CARD_FEATURES,
        SCORES,
        ALERTS,
        EXAMPLES,
        CUSTOMER_LABELS,
        TERMINAL_LABELS,
        MODELS,
        CUSTOMER_RISKS,
    }
    assert pipeline.tables == (MODELS, MODEL_ALIASES)


def test_features_scores_and_outcomes_answer_one_another() -> None:
    pipeline = fraud_pipeline(Settings())
    rings = {processor.name: pipeline.ring(processor) for processor in pipeline.processors}
    assert rings["features"] == {"fraud", "outcomes"}
    assert rings["fraud"] == {"features", "outcomes"}
    assert rings["learning"] == frozenset()
