"""The pipeline of offers as a whole: it goes on exactly after a restart, and learns who takes what up."""

from collections.abc import Iterable

import numpy as np
import pytest

from online_models.metrics import roc_auc
from schemas.offer_results import OfferExample
from schemas.offer_topics import OFFER_EVENTS, OFFER_EXAMPLES, OFFER_USAGE, RANKERS, RANKINGS
from schemas.records import AnyRecord
from schemas.topics import CLICKS
from streams.replay import Replay
from streams.state_codec import state_codec
from tests.processors.offer_world import click, pipeline, ranking, world


def restarted(engine: Replay) -> None:
    """Put every state into bytes and back, as a checkpoint does."""
    for task in engine.tasks.values():
        codec = state_codec(task.processor)
        for key, state in list(task.states.items()):
            task.states[key] = codec.decode(codec.encode(state))


def said(stream: Iterable[AnyRecord], restart_every: int = 0) -> list[tuple[str, str, bytes]]:
    """Return all that the pipeline says: its id, topic and bytes."""
    engine, found = Replay(pipeline()), []
    for number, each in enumerate(stream):
        if restart_every and number % restart_every == 0:
            restarted(engine)
        found += [(out.id, out.topic.name, out.topic.encode(out.message)) for out in engine.step(each)]
    return found


@pytest.fixture(scope="module")
def stream() -> list[AnyRecord]:
    return world()


@pytest.mark.parametrize("every", [1_000, 131])
def test_states_restored_at_any_record_say_the_same(stream: list[AnyRecord], every: int) -> None:
    assert said(stream, restart_every=every) == said(stream)


def test_the_same_stream_says_the_same_twice(stream: list[AnyRecord]) -> None:
    assert said(stream) == said(stream)


def test_what_is_said_can_be_read_again(stream: list[AnyRecord]) -> None:
    engine = Replay(pipeline())
    for each in stream[:900]:
        for out in engine.step(each):
            message = out.topic.decode(out.topic.encode(out.message))
            assert type(message) is type(out.message)
            assert out.topic.key(message) == out.topic.key(out.message)


def test_what_is_learned_tells_success_from_failure(stream: list[AnyRecord]) -> None:
    engine = Replay(pipeline())
    found = [each for record in stream for each in engine.step(record)]
    assert {each.topic for each in found} == {RANKINGS, OFFER_EVENTS, OFFER_USAGE, OFFER_EXAMPLES, RANKERS}
    judged = [each.message for each in found if isinstance(each.message, OfferExample) and each.message.version]
    auc = roc_auc(np.array([each.label for each in judged]), np.array([each.score for each in judged]))
    assert auc is not None
    assert auc > 0.55


def test_a_ranking_is_keyed_like_the_clicks_of_its_customer() -> None:
    assert RANKINGS.key(ranking()) == CLICKS.key(click("view")) == "ann"
    assert RANKINGS.key(ranking(tenant="shop")) == CLICKS.key(click("view", tenant="shop")) == "shop/ann"
