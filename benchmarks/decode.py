"""How many transactions a second one core decodes: batches of JSON bytes to validated messages."""

import argparse
import gc
import os
from pathlib import Path
from statistics import median
from time import process_time

import orjson
import pyarrow.parquet

from schemas.topics import TRANSACTIONS

ROWS = 200_000
BATCH = 2_000


def values(folder: Path | None) -> list[bytes]:
    """Return transactions of six fields as JSON: real ones when the folder of event data is given."""
    if folder is None:
        rows = [(n, f"2018-04-01T00:00:{n % 60:02}Z", n % 4_990, n % 9_999, n % 99_999 / 100) for n in range(ROWS)]
    else:
        path = next((folder / "card_transactions").glob("*.parquet"))
        names = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT"]
        table = pyarrow.parquet.read_table(path, columns=names).slice(0, ROWS)
        columns = [column.to_numpy().tolist() for column in table.columns]
        columns[4] = [round(amount, 2) for amount in columns[4]]
        columns[1] = [f"{time}Z" for time in table["TX_DATETIME"].to_numpy().astype("datetime64[s]").astype(str)]
        rows = list(zip(*columns, strict=True))
    fields = ("event_id", "event_time", "user", "terminal", "amount", "currency")
    return [
        orjson.dumps(dict(zip(fields, (str(a), b, str(c), str(d), e, "EUR"), strict=True))) for a, b, c, d, e in rows
    ]


def per_second(messages: list[bytes]) -> float:
    """Return how many of the messages are decoded in a second of processor time, in one pass."""
    start = process_time()
    for first in range(0, len(messages), BATCH):
        TRANSACTIONS.decode_batch(messages[first : first + BATCH])
    return len(messages) / (process_time() - start)


def measure(folder: Path | None, rounds: int = 7) -> dict[str, float | str]:
    """Return transactions per second and core, with the collector off: the median of some rounds, and the best."""
    messages = values(folder)
    gc.collect()
    gc.disable()
    try:
        speeds = [per_second(messages) for _ in range(rounds)]
    finally:
        gc.enable()
    source = "made up" if folder is None else "card_transactions"
    return {"transactions_per_second": round(median(speeds)), "best": round(max(speeds)), "data": source}


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    named = os.environ.get("HEADRACE_DATA")
    parser.add_argument("--data", type=Path, default=Path(named) if named else None, help="folder of event data")
    os.write(1, orjson.dumps(measure(parser.parse_args().data)) + b"\n")


if __name__ == "__main__":
    main()
