"""The transactions that the benchmarks send: the real card data when it is at hand, generated ones otherwise."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.dataset as ds

Message = tuple[bytes, bytes]

COLUMNS = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")
FIRST_MS = 1_522_540_800_000


FRAUD_ONE_IN = 100
LABEL_DELAY_MS = 7 * 86_400_000


def transactions(events: int) -> list[Message]:
    """Return (key, JSON value) of so many transactions in time order, keyed by user.

    Reads ``$HEADRACE_DATA/card_transactions`` where it stands. Raises ValueError when that holds too few.
    """
    found = card_transactions()
    rows = recorded(found, events) if found else generated(events)
    messages = [(row["user"].encode(), orjson.dumps(row)) for row in rows]
    if len(messages) < events:
        raise ValueError(f"{found} holds {len(messages)} transactions, fewer than the {events} asked for")
    return messages


def chargebacks(messages: Sequence[Message]) -> list[Message]:
    """Return (key, JSON value) of the feedback known by the last message's time: each fraud's, a week after it.

    Generated transactions are called fraud by their event id, one in a hundred.
    """
    found = card_transactions()
    events = [orjson.loads(value) for _, value in messages]
    frauds = recorded_frauds(found) if found else {e["event_id"] for e in events if is_fraud(e["event_id"])}
    until = max((event["event_time"] for event in events), default=0)
    return [
        (
            event["event_id"].encode(),
            orjson.dumps({"about": event["event_id"], "event_time": known_at, "kind": "chargeback"}),
        )
        for event in events
        if event["event_id"] in frauds and (known_at := event["event_time"] + LABEL_DELAY_MS) <= until
    ]


def is_fraud(event_id: str) -> bool:
    """Return whether a generated transaction is taken for fraud."""
    return zlib.crc32(event_id.encode()) % FRAUD_ONE_IN == 0


def card_transactions() -> Path | None:
    """Return the folder of the real card data, where `$HEADRACE_DATA` has one."""
    data = os.environ.get("HEADRACE_DATA")
    found = Path(data, "card_transactions") if data else None
    return found if found and found.is_dir() else None


def recorded_frauds(folder: Path) -> set[str]:
    """Return the ids of the frauds in a folder of Parquet files."""
    frauds = ds.dataset(folder, format="parquet").to_table(["TRANSACTION_ID"], filter=ds.field("TX_FRAUD") == 1)
    return set(map(str, frauds["TRANSACTION_ID"].to_pylist()))


def recorded(folder: Path, events: int) -> Iterator[dict[str, Any]]:
    """Yield the first transactions of a folder of Parquet files, which are in time order."""
    table = ds.dataset(folder, format="parquet").head(events, columns=list(COLUMNS))
    milliseconds = table["TX_DATETIME"].cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    table = table.set_column(1, "TX_DATETIME", milliseconds)
    columns = (table[name].to_pylist() for name in COLUMNS)
    for event_id, event_time, customer, terminal, amount in zip(*columns, strict=True):
        yield {
            "event_id": str(event_id),
            "user": str(customer),
            "terminal": str(terminal),
            "amount": round(amount, 2),
            "currency": "EUR",
            "event_time": event_time,
        }


def generated(events: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield seeded transactions of 5,000 customers at 10,000 terminals, 9 seconds apart on average."""
    draw = random.Random(seed)
    now = float(FIRST_MS)
    for number in range(events):
        now += draw.expovariate(1 / 9_000)
        yield {
            "event_id": str(number),
            "user": str(draw.randrange(5_000)),
            "terminal": str(draw.randrange(10_000)),
            "amount": round(draw.lognormvariate(3.5, 1.0), 2),
            "currency": "EUR",
            "event_time": round(now),
        }
