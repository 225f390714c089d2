"""Backups as dated snapshots: how a task stood when one was made, for a replay to begin there."""

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from processors.base import AnyProcessor
from sinks.redis_copy import Row, offsets_in, pairs
from sinks.store import Position
from streams.backup_files import MANIFEST, TABLES, BadBackup, TableEntry, manifest_of, rows_in, task_file
from streams.batch import Meta
from streams.decision_replay import Snapshots
from streams.inbound import Raw
from streams.journal import NOTHING, Begin
from streams.kafka_log import Stored
from streams.pipeline import Pipeline
from streams.state_codec import state_codec

Offsets = dict[Position, int]


def snapshots_in(folder: Path, pipeline: Pipeline) -> Snapshots:
    """Return how tasks stood at each backup in a folder, which may be one itself. Raises BadBackup where there is none.

    Their files are taken as they are: `verified` tells whether they are whole.
    """
    found = [folder] if (folder / MANIFEST).exists() else [path.parent for path in folder.glob(f"*/{MANIFEST}")]
    if not found:
        raise BadBackup(f"there is no backup in {folder}: name the folder of one, or the folder that they are in")
    dated = sorted(found, key=lambda backup: -manifest_of(backup).made_at)
    processors = {processor.name: processor for processor in pipeline.processors}

    def snapshots(task: str, keys: Collection[str]) -> Iterator[Begin]:
        for backup in dated:
            if (backup / task_file(task)).exists():
                yield begin_of(backup, processors[task.partition("/")[0]], task, keys)[0]

    return snapshots


def begin_of(
    backup: Path, processor: AnyProcessor, task: str, keys: Collection[str] | None = None
) -> tuple[Begin, Offsets]:
    """Return how a task stood at a backup, with the states of some keys or of all, and the last offsets it had."""
    path, states, offsets = f"hr:{{{task}}}:state:".encode(), {}, Offsets()
    decode, begin = state_codec(processor).decode, NOTHING
    for row in rows_in(backup / task_file(task), Row):
        if row.key.startswith(path):
            key = row.key[len(path) :].decode()
            if keys is None or key in keys:
                states[key] = decode(row.parts[0])
        elif row.kind == "zset":
            begin = begin._replace(dues={key.decode(): int(float(at)) for key, at in pairs(row)})
        else:
            kept = dict(pairs(row))
            offsets = offsets_in(kept.get(b"offsets", b"[]"))
            meta = msgspec.msgpack.decode(kept[b"meta"], type=Meta) if kept.get(b"meta") else Meta()
            sequence = int(kept.get(b"sequence", b"0"))
            begin = begin._replace(
                sequence=sequence, watermark=meta.watermark, sources=meta.sources, heard=dict(meta.last)
            )
    if keys is not None:
        begin = begin._replace(dues={key: at for key, at in begin.dues.items() if key in keys})
    return begin._replace(states=states, tables=_tables(backup, processor)), offsets


def _tables(backup: Path, processor: AnyProcessor) -> list[tuple[str, int, Raw]]:
    names = {topic.name for topic in processor.tables}
    if not names or not (backup / TABLES).exists():
        return []
    return [
        (entry.topic, entry.partition, Stored(entry.offset, 0, entry.key, entry.value, ()))
        for entry in rows_in(backup / TABLES, TableEntry)
        if entry.topic in names
    ]
