"""How far each processor has come: the hash `hr:progress`, "processor/partition" → Progress."""

from collections.abc import Mapping

import msgspec

from sinks.base import Progress

PROGRESS = "hr:progress"


def progress_field(processor: str, partition: int, progress: Progress) -> tuple[str, bytes]:
    """Return the field and value by which a processor's partition tells readers how far it has come."""
    return f"{processor}/{partition}", msgspec.json.encode(progress)


def merged_progress(fields: Mapping[bytes, bytes]) -> dict[str, Progress]:
    """Return the newest event time and the newest commit of each processor, over its partitions.

    >>> merged_progress(dict([(b"fraud/0", progress_field("fraud", 0, Progress(5, 9))[1])]))
    {'fraud': Progress(event_time=5, committed_at=9)}
    """
    merged: dict[str, Progress] = {}
    for name, value in fields.items():
        processor = name.decode().rpartition("/")[0]
        each = msgspec.json.decode(value, type=Progress)
        known = merged.get(processor, each)
        newest = max(known.event_time, each.event_time), max(known.committed_at, each.committed_at)
        merged[processor] = Progress(*newest)
    return merged
