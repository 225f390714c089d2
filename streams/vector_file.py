"""Writing what each score was made from: one row a transaction, for batch models to be judged on the same features."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from schemas.results import FraudScore

GROUP_ROWS = 50_000


class VectorFile(AbstractContextManager["VectorFile"]):
    """A Parquet file of event_id, event_time (UTC), customer, the features in order, label and score.

    A missing feature is NaN. The file appears when the block is left without an error.
    """

    def __init__(self, path: Path, features: Sequence[str]) -> None:
        self._schema = pa.schema(
            [
                pa.field("event_id", pa.string()),
                pa.field("event_time", pa.timestamp("ms", "UTC")),
                pa.field("customer", pa.string()),
                *(pa.field(name, pa.float64()) for name in features),
                pa.field("label", pa.bool_()),
                pa.field("score", pa.float64()),
            ]
        )
        self._path, self._unfinished = path, path.with_name(f".{path.name}.unfinished")
        self._rows: list[tuple[FraudScore, bool]] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pa.parquet.ParquetWriter(self._unfinished, self._schema, compression="zstd")

    def add(self, score: FraudScore, fraud: bool) -> None:
        """Append a score and what its transaction was."""
        self._rows.append((score, fraud))
        if len(self._rows) >= GROUP_ROWS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, failed: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if failed is None:
            self._flush()
        self._file.close()
        if failed is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink()

    def _flush(self) -> None:
        if not self._rows:
            return
        scores = [score for score, _ in self._rows]
        vectors = np.array([score.vector for score in scores], dtype=np.float64)
        columns = [
            [score.event_id for score in scores],
            [score.event_time for score in scores],
            [score.user for score in scores],
            *vectors.T,
            [fraud for _, fraud in self._rows],
            [score.score for score in scores],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()
