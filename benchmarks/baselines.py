"""headrace beside batch models on the real card data: the same vectors, the same test days, the handbook's protocol.

One pass of the real pipeline writes the vector behind every score; the batch models train on those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.batch_baselines import Metrics, Period, compare, compare_by_week, read_examples
from benchmarks.replay import collector_as_in_a_worker
from benchmarks.transactions import card_transactions
from schemas.records import DAY
from streams.assembly import fraud_pipeline, fraud_scorer
from streams.commands.evaluate import CARD_TRANSACTIONS
from streams.evaluation import Protocol, evaluate_fraud, labelled_sources
from streams.mappings import Mapping
from streams.settings import Settings
from streams.vector_file import VectorFile

FIRST_DAY = datetime(2018, 7, 25)

Told = Callable[[str], None]


def baselines(protocol: Protocol, vectors: Path | None = None, told: Told = lambda _: None) -> dict[str, Metrics]:
    """Return the handbook's metrics of headrace and of each batch model on the test days.

    `vectors` is read when it exists, and else written for the next time. Raises RuntimeError without real data, and
    for vectors that end before the test days do.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = vectors or Path(folder) / "vectors.parquet"
        if not path.exists():
            write_vectors(path, protocol, told)
        told("batch models")
        period = Period(
            round(protocol.first_day.replace(tzinfo=UTC).timestamp() * 1000) // DAY,
            protocol.days,
            protocol.label_delay_days,
        )
        examples = read_examples(path)
        if examples.day.max() < period.first_day + period.days - 1:
            raise RuntimeError(f"{path} ends before the last test day: leave it out, or write it anew")
        return (compare_by_week if protocol.by_week else compare)(examples, period)


def write_vectors(path: Path, protocol: Protocol, told: Told) -> None:
    """Run the pipeline over the card transactions up to the last test day and write what each score was made from."""
    folder = card_transactions()
    if folder is None:
        raise RuntimeError("no card transactions: set HEADRACE_DATA to the folder of event data")
    settings = Settings(label_window=protocol.label_delay_days * DAY)
    files = sorted(folder.glob("*.parquet"))
    with collector_as_in_a_worker(), VectorFile(path, fraud_scorer(settings).names) as file:
        sources, frauds = labelled_sources(files, Mapping.load(CARD_TRANSACTIONS), settings.label_window)
        pipeline = fraud_pipeline(settings)
        evaluate_fraud(pipeline, sources, frauds, protocol, lambda n: told(f"{n:,} scored"), file.add)
