"""The files of a backup, and the manifest that says what they are: each with its size and its SHA-256."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sinks.redis_copy import Place, Row

FORMAT = 1
MANIFEST = "manifest.json"
TABLES = "kafka/tables.rows"
READ_BYTES = 1024 * 1024
LENGTH_BYTES = 4

Tell = Callable[[str], None]
"""Told what is being done."""


class BadBackup(RuntimeError):
    """A folder that is no whole backup, or cannot become one; the message says what is wrong with it."""


class Mark(msgspec.Struct, frozen=True):
    """What a file must hold."""

    rows: int
    bytes: int
    sha256: str


class RedisPart(msgspec.Struct, frozen=True):
    """What a backup has of Redis: where each task stood, and the end of each topic of results before the copy."""

    version: str
    tasks: dict[str, Place]
    ends: dict[str, dict[int, int]]


class ClickHousePart(msgspec.Struct, frozen=True):
    """What a backup has of ClickHouse: the columns of each table, and what the sink had read before the copy."""

    version: str
    tables: dict[str, list[str]]
    group: str
    offsets: list[tuple[str, int, int]]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is. `made_at` is in milliseconds since 1970; `files` are by their path in the folder."""

    headrace: str
    made_at: int
    files: dict[str, Mark]
    redis: RedisPart | None = None
    clickhouse: ClickHousePart | None = None
    format: int = FORMAT


class TableEntry(msgspec.Struct, frozen=True, array_like=True):
    """The newest record of a key of a compacted topic."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None


R = TypeVar("R", Row, TableEntry)


@dataclass
class NewFile:
    """A file being written."""

    file: BufferedWriter
    rows: int = 0
    size: int = 0
    digest: Any = field(default_factory=sha256)

    def write(self, content: bytes, rows: int = 0) -> None:
        """Append bytes, which hold so many rows."""
        self.file.write(content)
        self.digest.update(content)
        self.size += len(content)
        self.rows += rows

    def append(self, row: Row | TableEntry) -> None:
        """Append a row behind its length."""
        content = msgspec.msgpack.encode(row)
        self.write(len(content).to_bytes(LENGTH_BYTES) + content, 1)

    @property
    def mark(self) -> Mark:
        """What the file holds by now."""
        return Mark(self.rows, self.size, self.digest.hexdigest())


@contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """Write a file that only its owner can read, for there is in it what is in the stores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with path.open("wb") as file:
        yield NewFile(file)


def rows_in(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the rows of a file."""
    decode = msgspec.msgpack.Decoder(kind).decode
    with path.open("rb") as file:
        while length := file.read(LENGTH_BYTES):
            yield decode(file.read(int.from_bytes(length)))


def task_file(task: str) -> str:
    """Return where in a backup a task is."""
    return f"redis/tasks/{task.replace('/', '-')}.rows"


def chunks_of(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, some at a time."""
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            yield chunk


def refuse_used(folder: Path) -> None:
    """Raise BadBackup unless a backup can be written to a folder: it must be empty, or not be there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadBackup(f"{folder} is not empty: name a folder for this backup alone, such as {folder / 'monday'}")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Say that a backup is whole. To be called when everything else is written."""
    with new_file(folder / MANIFEST) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)))


def manifest_of(folder: Path) -> Manifest:
    """Return the manifest of a backup. Raises BadBackup for a folder without one, or one of another format."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BadBackup(f"{folder} has no {MANIFEST}: it is no backup, or one that was broken off")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise BadBackup(f"{path} cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise BadBackup(f"{path} is of format {manifest.format}, this headrace reads {FORMAT}: use {manifest.headrace}")
    return manifest


def verified(folder: Path, tell: Tell) -> Manifest:
    """Return the manifest of a backup of which every file is as it was written. Raises BadBackup."""
    manifest = manifest_of(folder)
    for name, mark in manifest.files.items():
        tell(f"verifying {name}")
        path, digest = folder / name, sha256()
        if not path.is_file():
            raise BadBackup(f"{path} is missing: the backup is not whole")
        for chunk in chunks_of(path):
            digest.update(chunk)
        if digest.hexdigest() != mark.sha256:
            raise BadBackup(f"{path} is not what was written: its SHA-256 is {digest.hexdigest()}, not {mark.sha256}")
    return manifest
