"""What a release leaves behind for the next: states and messages as its code encodes them.

`python -m tests.streams.release` writes those of the code that there is, to be kept in `tests/data` from then on.
"""

import gzip
from base64 import b64decode, b64encode
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import msgspec

from streams.assembly import fraud_pipeline
from streams.chaos.recordings import recorded
from streams.pipeline import Pipeline
from streams.replay import Replay
from streams.settings import Settings
from streams.state_codec import state_codec

FOLDER = Path(__file__).parents[1] / "data"
RECORDS = 700
KEYS = 3


class Left(msgspec.Struct):
    """States by processor and key, and one message of each topic, in base64."""

    states: dict[str, dict[str, str]]
    messages: dict[str, str]

    @classmethod
    def by(cls, file: Path) -> "Left":
        """Return what stands in a file."""
        return msgspec.json.decode(gzip.decompress(file.read_bytes()), type=cls)

    def state(self, processor: str, key: str) -> bytes:
        """Return a state in bytes."""
        return b64decode(self.states[processor][key])


def pipeline() -> Pipeline:
    """Return the pipeline whose states are kept."""
    return fraud_pipeline(Settings(label_window="3d", publish_every=20))  # type: ignore[arg-type]


def left_now() -> Left:
    """Return what the code that there is leaves behind."""
    engine = Replay(pipeline())
    said = [each for record in recorded(7, RECORDS) for each in (record, *engine.step(record))]
    messages = {each.topic.name: b64encode(each.topic.encode(each.message)).decode() for each in said}
    states = {}
    for name, task in engine.tasks.items():
        codec = state_codec(task.processor)
        kept = islice(sorted(task.states.items()), KEYS)
        states[name] = {key: b64encode(codec.encode(state)).decode() for key, state in kept}
    return Left(states, messages)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"release-{version('headrace')}.json.gz"
    file.write_bytes(gzip.compress(msgspec.json.encode(left_now()), mtime=0))
