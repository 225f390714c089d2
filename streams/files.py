"""Rows of CSV, JSON lines and Parquet files, plain or compressed, a batch at a time."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from schemas.errors import BadMessage

BATCH_ROWS = 2_000
CSV_BLOCK = 1 << 20


class UnreadableFile(ValueError):
    """The file is missing, of an unknown sort, or not what its name says."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of a file as columns of Python values; `refused` are those that are no rows at all."""

    columns: dict[str, Sequence[Any]]
    count: int
    refused: dict[int, BadMessage] = field(default_factory=dict)


def kind(path: Path) -> str:
    """Return "csv", "json" (JSON lines) or "parquet". Raises UnreadableFile when the name says none of them.

    >>> kind(Path("day.csv.gz"))
    'csv'
    """
    ending = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    kinds = {"csv": "csv", "jsonl": "json", "ndjson": "json", "json": "json", "parquet": "parquet", "pq": "parquet"}
    if ending not in kinds:
        raise UnreadableFile(f"{path.name} is none of .csv, .jsonl or .parquet (each but the last also as .gz)")
    return kinds[ending]


def read(path: Path) -> Iterator[Rows]:
    """Yield the rows of a file in its order. CSV values are text; an empty cell is None."""
    reader = {"csv": _csv, "json": _json, "parquet": _parquet}[kind(path)]
    with _naming(path):
        yield from reader(path)


def row_count(path: Path) -> int | None:
    """Return how many rows a Parquet file has; None for others, which would have to be read for that."""
    if kind(path) != "parquet":
        return None
    with _naming(path):
        return int(pa.parquet.read_metadata(path).num_rows)


def lines(path: Path) -> Iterator[list[bytes]]:
    """Yield the lines of a JSON lines file in batches, blank ones left out."""
    with _naming(path), _opened(path) as file:
        filled = (line for line in file if not line.isspace())
        while batch := list(islice(filled, BATCH_ROWS)):
            yield batch


def _parquet(path: Path) -> Iterator[Rows]:
    with pa.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield _rows(batch)


def _csv(path: Path) -> Iterator[Rows]:
    with pa.input_stream(path, compression="detect") as file:
        names = pa.csv.open_csv(file, pa.csv.ReadOptions(block_size=CSV_BLOCK)).schema.names
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    with pa.input_stream(path, compression="detect") as file:
        for batch in pa.csv.open_csv(file, pa.csv.ReadOptions(block_size=CSV_BLOCK), convert_options=convert):
            yield _rows(batch)


def _json(path: Path) -> Iterator[Rows]:
    for batch in lines(path):
        refused: dict[int, BadMessage] = {}
        rows = [_object(line, index, refused) for index, line in enumerate(batch)]
        names = dict.fromkeys(name for row in rows for name in row)
        yield Rows({name: [row.get(name) for row in rows] for name in names}, len(rows), refused)


def _object(line: bytes, index: int, refused: dict[int, BadMessage]) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        refused[index] = BadMessage("not_json", str(error))
        return {}
    if not isinstance(row, dict):
        refused[index] = BadMessage("invalid_field", f"message: a line is one JSON object (got {line[:80]!r})")
        return {}
    return row


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(f"{path}: {error}") from error


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.name.endswith(".gz") else path.open("rb")


def _rows(batch: Any) -> Rows:
    return Rows(dict(zip(batch.schema.names, map(_values, batch.columns), strict=True)), batch.num_rows)


def _values(column: Any) -> list[Any]:
    """Return an Arrow column as Python values; by DLPack, since Arrow's own way to NumPy imports pandas (a second)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return _moments(column, kind.tz)
    if column.null_count == 0 and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        numbers: list[Any] = np.from_dlpack(column).tolist()
        return numbers
    values: list[Any] = column.to_pylist()
    return values


def _moments(column: Any, zone: str | None) -> list[Any]:
    micros = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    epoch = datetime(1970, 1, 1, tzinfo=UTC if zone else None)
    if zone or column.null_count:
        return [None if micro is None else epoch + timedelta(microseconds=micro) for micro in micros.to_pylist()]
    moments: list[Any] = np.from_dlpack(micros).view("datetime64[us]").astype(object).tolist()
    return moments
