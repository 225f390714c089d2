"""Repeats: what a task says again after a crash is dropped by whoever reads it."""

from collections.abc import Iterable, Iterator

from streams.inbound import Inbound

Heard = dict[str, tuple[int, int]]
"""The place (sequence, number) of the last record heard of each source, "task>topic"."""


def unheard(items: Iterable[Inbound], heard: Heard) -> Iterator[Inbound]:
    """Yield the records that are no repeats, and note in `heard` what was.

    A source says its records in the order of their places, and after a crash the same once more, so a place that does
    not follow the last one was heard already. Records from outside have no place: they all pass.
    """
    for item in items:
        origin = item.origin
        if origin is not None:
            source, place = f"{origin.task}>{item.topic.name}", (origin.sequence, origin.n)
            if place <= heard.get(source, (-1, -1)):
                continue
            heard[source] = place
        yield item
