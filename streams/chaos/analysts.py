"""ClickHouse in a drill: it is killed under load, scoring goes on without it, and in the end it has every row once."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from schemas.topics import SCORES, TRANSACTIONS
from sinks.analytics import client_for, create_schema, query
from sinks.base import SinkBusy
from streams.chaos.drill import Drill
from streams.chaos.evidence import closing_log, said
from streams.services.supervisor import Part

STOP_SECONDS = 30.0
QUERIES = {
    SCORES.name: "SELECT event_id FROM v_scores",
    TRANSACTIONS.name: "SELECT event_id FROM v_events WHERE topic = 'transactions'",
}
Ids = Mapping[str, Counter[str]]
"""How many rows there are of each event, by topic."""


def clickhouse_away(drill: Drill) -> None:
    """Kill ClickHouse under load. Let workers take all without it, kill the sink as well, and bring both back."""
    with _clickhouse(drill) as address:
        drill.publishing.allowed = 0.7
        drill.begin()
        with _sink(drill, address) as sink:
            drill.until(lambda: bool(_rows(address)[SCORES.name]), "no score has come to ClickHouse")
            drill.under_load()
            drill.stage.kill(Part.CLICKHOUSE)
            drill.watch.fault_is_over()
            drill.publishing.allowed = 1.0
            drill.finish()
            sink.kill()
        drill.stage.up(Part.CLICKHOUSE)
        with _sink(drill, address) as sink:
            _await_all(drill, address)
            sink.send_signal(signal.SIGTERM)
            # One that was just started, and has not begun yet, dies of the signal.
            if (status := sink.wait(STOP_SECONDS)) not in (0, -signal.SIGTERM):
                drill.broken.append(f"the sink ended with {status} at SIGTERM, not with 0")


def _await_all(drill: Drill, address: str) -> None:
    """Wait until ClickHouse has as many rows as Kafka has events, and tell those that are not the same."""
    with closing_log(drill.stage.kafka) as log:
        scored = {SCORES.decode(each.value).event_id for each in said(log, (SCORES,))}
    paid = {write.id for write in drill.publishing.writes if write.id and write.topic == TRANSACTIONS.name}
    expected: Ids = {SCORES.name: Counter(scored), TRANSACTIONS.name: Counter(paid)}
    drill.until(lambda: all(len(rows) >= len(expected[of]) for of, rows in _rows(address).items()), "rows are missing")
    drill.broken += differing_rows(_rows(address), expected)


def differing_rows(found: Ids, expected: Ids) -> list[str]:
    """Return a complaint for each topic whose rows in ClickHouse are not one for each event."""
    complaints = []
    for topic, events in expected.items():
        lacking, more = events - found[topic], found[topic] - events
        if lacking or more:
            complaints.append(f"ClickHouse lacks {lacking.total()} rows of {topic}, and has {more.total()} too many")
    return complaints


def _rows(address: str) -> Ids:
    """Return what the views show; nothing while ClickHouse does not answer."""
    try:
        client = client_for(address)
        return {topic: Counter(event for (event,) in query(client, sql).rows) for topic, sql in QUERIES.items()}
    except SinkBusy:
        return {topic: Counter() for topic in QUERIES}


@contextmanager
def _clickhouse(drill: Drill) -> Iterator[str]:
    """Run ClickHouse with nothing in its tables; its data go when the block is left."""
    try:
        address = drill.stage.start(Part.CLICKHOUSE)
        create_schema(client_for(address))
        yield address
    finally:
        drill.stage.down(Part.CLICKHOUSE)
        shutil.rmtree(drill.stage.folder / Part.CLICKHOUSE)


@contextmanager
def _sink(drill: Drill, address: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a sink process; one that still runs when the block is left is killed."""
    own = dict(drill.crew.environment) | {"HEADRACE_CLICKHOUSE": address, "HEADRACE_METRICS_PORT": "0"}
    with (drill.crew.folder / "sink.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams", "sink"],
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(STOP_SECONDS)
