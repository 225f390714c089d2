"""Writing a feature table: Parquet, keyed by the id column of the file that the features are about."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import isnan
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from processors.definitions import Feature
from streams.feature_table import Row
from streams.files import UnreadableFile, kind, read

GROUP_ROWS = 100_000


def write_table(out: Path, id_field: pa.Field, features: Sequence[Feature], rows: Iterable[Row]) -> int:
    """Write the rows under the id's own name and type, and return how many there were.

    Counts, hours and flags are whole numbers; a feature without a value is null. The file appears when it is complete.
    """
    schema = pa.schema([id_field, *(pa.field(feature.name, _type(feature)) for feature in features)])
    unfinished = out.with_name(f".{out.name}.unfinished")
    out.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    try:
        with pa.parquet.ParquetWriter(unfinished, schema, compression="zstd") as file:
            for group in _groups(rows):
                file.write_table(_table(schema, group))
                written += len(group)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return written


def id_field(path: Path, column: str) -> pa.Field:
    """Return the name and type of a file's id column. CSV has no types: its ids are whole numbers where all are.

    JSON lines tell by their first id, and one of another type than a whole number is text. Raises UnreadableFile for a
    Parquet file without the column.
    """
    if kind(path) == "parquet":
        schema = pa.parquet.read_schema(path)
        if column not in schema.names:
            raise UnreadableFile(f"{path} has no column {column!r}; it has {', '.join(schema.names)}")
        return schema.field(column).with_nullable(False)
    ids = (value for rows in read(path) for value in rows.columns.get(column, ()) if value is not None)
    whole = _all_whole(ids) if kind(path) == "csv" else isinstance(next(ids, None), int)
    return pa.field(column, pa.int64() if whole else pa.string(), nullable=False)


def _all_whole(ids: Iterator[str]) -> bool:
    return all(text.isdecimal() and text == str(int(text)) and len(text) < 19 for text in ids)


def _type(feature: Feature) -> pa.DataType:
    whole = feature.calendar is not None or feature.aggregate in ("count", "distinct")
    return pa.int64() if whole and (isnan(feature.empty) or feature.empty.is_integer()) else pa.float64()


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while group := list(islice(remaining, GROUP_ROWS)):
        yield group


def _table(schema: pa.Schema, group: list[Row]) -> pa.Table:
    values = np.array([values for _, values in group], dtype=np.float64).T
    ids = pa.array([event_id for event_id, _ in group], pa.string()).cast(schema.field(0).type)
    columns = [
        pa.array(column, pa.float64(), from_pandas=True).cast(kind)
        for column, kind in zip(values, schema.types[1:], strict=True)
    ]
    return pa.Table.from_arrays([ids, *columns], schema=schema)
