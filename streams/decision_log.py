"""The log as one task sees it for the sake of a few keys: nothing else is decoded, and nothing may be missing."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from schemas.records import AnyTopic
from schemas.results import JournalEntry
from streams.inbound import Raw
from streams.journal import Entries, Log

Rewrite = Callable[[Raw], Raw]


class Unreplayable(LookupError):
    """A decision whose making cannot be followed here; the message says what is missing, and the way out."""


@dataclass(frozen=True)
class KeyedLog:
    """The records of some keys, in the runs that the journal tells of; see Log.

    Topics in `whole` are keyed by their apps in some other way, so all of their records are given. `rewritten` puts
    other records in the place of those of a topic. Tables are given as they are, behind what `kept` has of them where
    compaction has dropped entries.

    Reading raises Unreplayable for a run of which the log does not keep every record any more.
    """

    log: Log
    keys: Collection[bytes]
    tables: Collection[AnyTopic] = ()
    whole: Collection[str] = ()
    rewritten: Mapping[str, Rewrite] = field(default_factory=dict)
    kept: Mapping[str, Collection[Raw]] = field(default_factory=dict)

    def ends(self, topic: str) -> Mapping[int, int]:
        """Return the end of each partition."""
        return self.log.ends(topic)

    def read(self, topic: str, partition: int, first: int, last: int) -> Iterator[Raw]:
        """Yield the records of a run that are of the keys."""
        if any(topic == table.name for table in self.tables):
            yield from self._table(topic, partition, first, last)
            return
        rewrite, count = self.rewritten.get(topic), 0
        for raw in self.log.read(topic, partition, first, last):
            count += 1
            if topic in self.whole or raw.key in self.keys:
                yield raw if rewrite is None else rewrite(raw)
        if count <= last - first:
            raise Unreplayable(
                f"{topic}/{partition} does not keep all records from offset {first} to {last} any more: the topic's "
                "retention has passed. Begin at a backup that is younger than that: --from DIR"
            )

    def _table(self, topic: str, partition: int, first: int, last: int) -> Iterator[Raw]:
        found = list(self.log.read(topic, partition, first, last))
        if len(found) <= last - first:
            if topic not in self.kept:
                raise Unreplayable(
                    f"{topic}/{partition} was compacted: entries between offset {first} and {last} are gone, and with "
                    "them what was looked up there"
                )
            # Of each key the log keeps the newest there was, or none.
            yield from self.kept[topic]
        yield from found


def followed(task: str, entries: Entries, after: int) -> list[JournalEntry]:
    """Return the entries of a task behind its commit `after`, in order. Raises Unreplayable where some are missing.

    A worker that ends in peace makes one more commit, of nothing, which has no entry.
    """
    found, last = [entries[sequence] for sequence in sorted(entries) if sequence > after], after
    for entry in found:
        if entry.sequence > last + (2 if last else 1):
            raise Unreplayable(
                f"the journal lacks commits {last + 1} to {entry.sequence - 1} of {task}: its retention has passed, or "
                "the task began with what `headrace replay` left. Begin at a backup that is younger: --from DIR"
            )
        last = entry.sequence
    return found
