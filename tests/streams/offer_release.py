"""What a release leaves behind of its offers for the next: states and messages as its code encodes them.

`python -m tests.streams.offer_release` writes those of the code that there is, to be kept in `tests/data` from then on.
"""

import gzip
from base64 import b64encode
from importlib.metadata import version

import msgspec

from streams.replay import Replay
from streams.state_codec import state_codec
from tests.processors.offer_world import CATALOGUE, pipeline, world
from tests.streams.release import FOLDER, Left

RECORDS = 2_000
CUSTOMERS = ("u1", "u2", "u3")
"""Whose states are kept, beside those of the model and of the offers."""


def left_now() -> Left:
    """Return what the code that there is leaves behind."""
    engine, messages = Replay(pipeline()), {}
    for record in world()[:RECORDS]:
        for each in (record, *engine.step(record)):
            messages[each.topic.name] = b64encode(each.topic.encode(each.message)).decode()
    kept = {*CUSTOMERS, "offers", *(offer.offer for offer in CATALOGUE)}
    states = {}
    for name, task in engine.tasks.items():
        codec = state_codec(task.processor)
        known = sorted(kept & task.states.keys())
        states[name] = {key: b64encode(codec.encode(task.states[key])).decode() for key in known}
    return Left(states, messages)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"offers-{version('headrace')}.json.gz"
    file.write_bytes(gzip.compress(msgspec.json.encode(left_now()), mtime=0))
