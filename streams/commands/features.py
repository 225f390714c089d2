"""`headrace features`: declared features of the transactions in a file, as a table."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Annotated

import msgspec
import pyarrow.parquet
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from processors.definitions import FRAUD
from schemas.durations import milliseconds
from schemas.errors import BadMessage
from schemas.records import DAY, AnyRecord
from schemas.topics import TRANSACTIONS
from streams.commands.screen import told_plainly
from streams.definitions_file import DefinitionsError, load_definitions
from streams.feature_file import id_field, write_table
from streams.feature_table import FeatureTable, Row
from streams.files import UnreadableFile, kind, read
from streams.mappings import Mapping, MappingError, records

HANDBOOK_ID = "TRANSACTION_ID"
HANDBOOK_MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "card_transactions.yaml"
PROGRESS_ROWS = 1_000


class Summary(msgspec.Struct):
    """What was written, and how fast. `late` came too far out of order to count for others, `refused` are no events."""

    rows: int
    features: int
    seconds: float
    events_per_second: float
    late: int
    refused: int
    out: str


def features_command(
    file: Annotated[Path, typer.Argument(help="Transactions as .csv, .jsonl or .parquet.")],
    definitions: Annotated[Path, typer.Option(help="The features, declared in YAML.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    mapping: Annotated[Path | None, typer.Option("--map", help="How the file's columns become fields.")] = None,
    label_delay: Annotated[
        int, typer.Option(parser=milliseconds, show_default="7d", help="How long after a fraud its label is known.")
    ] = 7 * DAY,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compute every declared feature of every transaction in a file, as it was known at the time."""
    with told_plainly(DefinitionsError, MappingError, UnreadableFile, BadMessage):
        summary = write_features(file, definitions, out, mapping, label_delay)
    if as_json:
        typer.echo(msgspec.json.encode(summary))
        return
    told = f"{summary.rows:,} rows of {summary.features} features in {summary.seconds:.1f} s"
    Console().print(f"[green]✓[/] {told}, {summary.events_per_second:,.0f} a second: {escape(summary.out)}")
    if summary.late or summary.refused:
        Console().print(
            f"  {summary.late:,} came too late to count for others, {summary.refused:,} were no transactions"
        )


def write_features(file: Path, definitions: Path, out: Path, mapping_path: Path | None, label_delay: int) -> Summary:
    """Write the declared features of a file's transactions; `label_delay` is in milliseconds.

    Raises DefinitionsError, MappingError or UnreadableFile, which say what is wrong.
    """
    features = load_definitions(definitions)
    mapping = _mapping(file, mapping_path)
    ids = id_field(file, _id_column(mapping))
    table = FeatureTable(features, label_delay)
    refused: list[int] = []
    transactions = records(
        file,
        TRANSACTIONS,
        mapping,
        label_delay_ms=label_delay if any(feature.of == FRAUD for feature in features) else None,
        refuse=lambda row, _bad: refused.append(row),
    )
    started = perf_counter()
    complete = _with_every_field(table, transactions, f"{definitions}: no row of {file.name} has")
    rows = write_table(out, ids, features, _watched(complete, _count(file)))
    seconds = perf_counter() - started
    return Summary(rows, len(features), seconds, rows / seconds, table.late, len(refused), str(out))


def _mapping(file: Path, path: Path | None) -> Mapping | None:
    if path is not None:
        return Mapping.load(path)
    first = next(read(file), None)
    return Mapping.load(HANDBOOK_MAPPING) if first is not None and HANDBOOK_ID in first.columns else None


def _id_column(mapping: Mapping | None) -> str:
    if mapping is None:
        return "event_id"
    if "event_id" not in mapping.fields:
        raise MappingError("event_id: a table of features needs a column of ids, not a constant")
    return mapping.fields["event_id"].column


def _with_every_field(table: FeatureTable, transactions: Iterable[AnyRecord], complaint: str) -> Iterator[Row]:
    yield from table.rows(transactions)
    if table.missing:
        raise DefinitionsError(f"{complaint} {', '.join(sorted(table.missing))}")


def _count(file: Path) -> int | None:
    return int(pyarrow.parquet.read_metadata(file).num_rows) if kind(file) == "parquet" else None


def _watched(rows: Iterable[Row], total: int | None) -> Iterator[Row]:
    columns = (SpinnerColumn(), TextColumn("features"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("features", total=total)
        for done, row in enumerate(rows):
            if done % PROGRESS_ROWS == 0:
                progress.update(task, completed=done)
            yield row
