"""Old states and messages are read by new code: every release's, as they are kept in `tests/data`."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.errors import BadMessage
from schemas.topics import BY_NAME
from streams.chaos.recordings import recorded
from streams.replay import Replay
from streams.state_codec import state_codec
from tests.streams.release import FOLDER, RECORDS, Left, left_now, pipeline

RELEASES = sorted(FOLDER.glob("release-*.json.gz"))


@pytest.fixture(params=RELEASES, ids=lambda file: file.name)
def left(request: pytest.FixtureRequest) -> Left:
    file: Path = request.param
    return Left.by(file)


def grown(old: Any, new: Any) -> bool:
    """Return whether what was encoded once is still there, fields at the end aside."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and grown(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) >= len(old) and all(map(grown, old, new))
    return bool(old == new)


def test_some_release_is_kept() -> None:
    assert RELEASES


def test_states_of_a_release_mean_what_they_meant(left: Left) -> None:
    for processor in pipeline().processors:
        if not issubclass(processor.state, msgspec.Struct):
            continue
        codec = state_codec(processor)
        for key in left.states[processor.name]:
            blob = left.state(processor.name, key)
            again = codec.encode(codec.decode(blob))
            assert grown(msgspec.msgpack.decode(blob), msgspec.msgpack.decode(again)), (processor.name, key)


def test_work_goes_on_with_the_states_of_a_release(left: Left) -> None:
    engine = Replay(pipeline())
    for name, states in left.states.items():
        codec = state_codec(engine.tasks[name].processor)
        engine.tasks[name].states.update({key: codec.decode(left.state(name, key)) for key in states})
    said = [each for record in recorded(7, RECORDS + 100)[RECORDS:] for each in engine.step(record)]
    assert {each.topic.name for each in said} >= {"transactions.enriched", "scores"}


def test_messages_of_a_release_are_read(left: Left) -> None:
    for name, message in left.messages.items():
        [decoded] = BY_NAME[name].decode_batch([b64decode(message)])
        assert not isinstance(decoded, BadMessage), name


@pytest.mark.parametrize(
    ("new", "still"),
    [([1, {"a": 2}], True), ([1, {"a": 2, "b": 3}, 4], True), ([1, {"b": 2}], False), ([1], False), ([2, {}], False)],
)
def test_what_is_dropped_or_changed_is_seen(new: Any, still: bool) -> None:
    assert grown([1, {"a": 2}], new) == still


def test_what_the_next_release_will_leave_has_states_of_every_processor() -> None:
    assert all(left_now().states.values())
