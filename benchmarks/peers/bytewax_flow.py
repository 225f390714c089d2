"""Bytewax: one worker, two stateful maps around a change of key, states in memory only and without recovery.

Runs until SIGTERM. The change of key stays inside the process; nothing of it is written to Kafka.
"""

from __future__ import annotations

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.peers.arguments import Arguments, parse_arguments
from benchmarks.reference import TerminalStep, customer_step, encode, parse


def build_flow(arguments: Arguments) -> Dataflow:
    """Return the dataflow: parse, key by user, enrich, key by terminal, score, produce."""
    flow = Dataflow("two_hops")
    brokers = [arguments.kafka]
    source = kop.input("transactions", flow, brokers=brokers, topics=[arguments.input])
    events = op.map("parse", source.oks, lambda message: parse(message.value or b""))
    by_user = op.key_on("by_user", events, lambda event: event["user"])
    enriched = op.key_rm("forget_user", op.stateful_map("enrich", by_user, customer_step))
    by_terminal = op.key_on("by_terminal", enriched, lambda event: event["terminal"])
    results = op.stateful_map("score", by_terminal, TerminalStep().step)
    messages = op.map("encode", results, lambda keyed: KafkaSinkMessage(keyed[0].encode(), encode(keyed[1])))
    kop.output("results", messages, brokers=brokers, topic=arguments.output)
    return flow


def main() -> None:
    """Run one worker."""
    cli_main(build_flow(parse_arguments(__doc__)))  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
