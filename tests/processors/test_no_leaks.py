"""No score knows what was not known when it was made: neither younger labels nor anything that follows."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Feedback
from schemas.records import DAY, AnyRecord
from schemas.topics import FEEDBACK, SCORES
from streams.assembly import fraud_pipeline
from streams.replay import replay
from streams.settings import Settings
from streams.simulator import World, simulate
from tests.builders import feedback, record

DELAY = 2 * DAY
SETTINGS = Settings(label_window=DELAY, publish_every=20, model="logistic")
WORLD = World(customers=25, terminals=12, days=8, fraud_rate=0.1, label_delay_ms=DELAY, early_verdicts=0.2)
FEW = settings(max_examples=25)


def scored(stream: Iterable[AnyRecord]) -> list[tuple[int, bytes]]:
    """Return the time and bytes of every score the pipeline gives a stream."""
    said = replay(fraud_pipeline(SETTINGS), stream)
    return [(each.time, SCORES.encode(each.message)) for each in said if each.topic is SCORES]


@pytest.fixture(scope="module")
def stream() -> list[AnyRecord]:
    return list(simulate(WORLD))


@pytest.fixture(scope="module")
def scores(stream: list[AnyRecord]) -> list[tuple[int, bytes]]:
    return scored(stream)


def flipped(told: AnyRecord) -> AnyRecord:
    """Return the same feedback, saying the opposite."""
    message = told.message
    assert isinstance(message, Feedback)
    said = "genuine" if message.fraud() else "fraud"
    return record(feedback(message.about, message.time_ms(), kind="verdict", verdict=said), id=told.id)


def labels(stream: Sequence[AnyRecord]) -> list[int]:
    return [at for at, each in enumerate(stream) if each.topic is FEEDBACK]


def test_the_stream_has_labels_and_scores_by_a_model(stream: list[AnyRecord], scores: list[tuple[int, bytes]]) -> None:
    assert len(labels(stream)) > 20
    assert sum(b'"source":"model"' in value for _, value in scores) > 100


@FEW
@given(data=st.data())
def test_altering_labels_changes_no_score_made_before_they_were_known(
    stream: list[AnyRecord], scores: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.sampled_from(labels(stream)), min_size=1, max_size=10))
    known = min(stream[at].time for at in chosen)
    altered = scored(flipped(each) if at in chosen else each for at, each in enumerate(stream))
    before = [score for score in scores if score[0] < known]
    assert altered[: len(before)] == before


@FEW
@given(data=st.data())
def test_labels_never_told_change_no_score_made_before_they_were_known(
    stream: list[AnyRecord], scores: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    since = data.draw(st.sampled_from(labels(stream)))
    silent = scored(each for at, each in enumerate(stream) if at < since or each.topic is not FEEDBACK)
    before = [score for score in scores if score[0] < stream[since].time]
    assert silent[: len(before)] == before


def test_labels_do_change_the_scores_that_follow_them(stream: list[AnyRecord], scores: list[tuple[int, bytes]]) -> None:
    first = labels(stream)[0]
    altered = scored(flipped(each) if at == first else each for at, each in enumerate(stream))
    assert altered[-50:] != scores[-50:]


def test_an_altered_label_younger_than_the_delay_changes_no_score_at_all(
    stream: list[AnyRecord], scores: list[tuple[int, bytes]]
) -> None:
    """As in an evaluation: whatever happens to the labels of the last days, the days are scored the same."""
    end = stream[-1].time - DELAY
    told = [flipped(each) if each.topic is FEEDBACK and each.time >= end else each for each in stream]
    assert told != stream
    assert [score for score in scored(told) if score[0] < end] == [score for score in scores if score[0] < end]


@FEW
@given(data=st.data())
def test_the_scores_of_a_prefix_are_the_same_whatever_follows(
    stream: list[AnyRecord], scores: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    length = data.draw(st.integers(1, len(stream)))
    prefix = scored(stream[:length])
    assert prefix == scores[: len(prefix)]
