"""Stock Faust: an agent and a table for each hop, re-keyed through a topic, as its user guide advises.

Runs until SIGTERM. Tables are in memory and backed by changelog topics; models are Records; nothing is tuned but the
web server, which is off.
"""

from __future__ import annotations

import tempfile
from typing import Any

import faust

from benchmarks.peers.arguments import Arguments, parse_arguments
from benchmarks.reference import TerminalStep, customer_step


class Transaction(faust.Record, serializer="json"):  # type: ignore[call-arg,misc]
    """One card transaction, as upstream sends it."""

    event_id: str
    user: str
    terminal: str
    amount: float
    currency: str
    event_time: int


class Enriched(Transaction, serializer="json"):  # type: ignore[call-arg]
    """A transaction with its customer's features."""

    features: list[float]


class Result(faust.Record, serializer="json"):  # type: ignore[call-arg,misc]
    """A scored transaction."""

    event_id: str
    user: str
    terminal: str
    event_time: int
    score: float
    features: list[float]


def build_app(arguments: Arguments, datadir: str) -> faust.App:
    """Return the app: two agents, two tables, one internal topic between them."""
    app = faust.App(
        arguments.group,
        broker=f"kafka://{arguments.kafka}",
        store="memory://",
        topic_partitions=4,
        datadir=datadir,
        web_enabled=False,
    )
    transactions = app.topic(arguments.input, key_type=str, value_type=Transaction)
    by_terminal = app.topic(f"{arguments.output}.by-terminal", key_type=str, value_type=Enriched, internal=True)
    results = app.topic(arguments.output, key_type=str, value_type=Result)
    customers = app.Table("customers")
    terminals = app.Table("terminals")
    terminal_step = TerminalStep()

    @app.agent(transactions)  # type: ignore[untyped-decorator]
    async def enrich(stream: Any) -> None:
        async for transaction in stream:
            state, enriched = customer_step(customers.get(transaction.user), transaction.asdict())
            customers[transaction.user] = state
            await by_terminal.send(key=transaction.terminal, value=Enriched(**enriched))

    @app.agent(by_terminal)  # type: ignore[untyped-decorator]
    async def score(stream: Any) -> None:
        async for enriched in stream:
            state, result = terminal_step.step(terminals.get(enriched.terminal), enriched.asdict())
            terminals[enriched.terminal] = state
            await results.send(key=enriched.terminal, value=Result(**result))

    return app


def main() -> None:
    """Run one worker."""
    arguments = parse_arguments(__doc__)
    with tempfile.TemporaryDirectory() as datadir:
        app = build_app(arguments, datadir)
        faust.Worker(app, loglevel="warning").execute_from_commandline()


if __name__ == "__main__":
    main()
