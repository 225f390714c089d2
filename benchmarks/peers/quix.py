"""Quix Streams: one StreamingDataFrame, stateful on both sides of a group_by, as its documentation advises.

Runs until SIGTERM. State is in RocksDB and backed by changelog topics, the default.
"""

from __future__ import annotations

import tempfile
from typing import Any

from quixstreams import Application, State

from benchmarks.peers.arguments import Arguments, parse_arguments
from benchmarks.reference import TerminalStep, customer_step


def enrich(event: dict[str, Any], state: State[Any, Any]) -> dict[str, Any]:
    """Return the event with its customer's features."""
    customer, enriched = customer_step(state.get("customer"), event)
    state.set("customer", customer)
    return enriched


class Score:
    """The stateful function of the second hop."""

    def __init__(self) -> None:
        self._terminal = TerminalStep()

    def __call__(self, enriched: dict[str, Any], state: State[Any, Any]) -> dict[str, Any]:
        """Return the scored result."""
        terminal, result = self._terminal.step(state.get("terminal"), enriched)
        state.set("terminal", terminal)
        return result


def build_app(arguments: Arguments, state_dir: str) -> Application:
    """Return the application with its dataframe attached."""
    app = Application(
        broker_address=arguments.kafka,
        consumer_group=arguments.group,
        auto_offset_reset="earliest",
        state_dir=state_dir,
        loglevel="WARNING",
    )
    transactions = app.topic(arguments.input, key_deserializer="str", value_deserializer="json")
    results = app.topic(arguments.output, key_serializer="json", value_serializer="json")
    frame = app.dataframe(transactions)
    frame = frame.apply(enrich, stateful=True)
    frame = frame.group_by("terminal")
    frame = frame.apply(Score(), stateful=True)
    frame.to_topic(results)
    return app


def main() -> None:
    """Run one application."""
    arguments = parse_arguments(__doc__)
    with tempfile.TemporaryDirectory() as state_dir:
        build_app(arguments, state_dir).run()


if __name__ == "__main__":
    main()
