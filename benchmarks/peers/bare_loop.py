"""The bare loop: the reference function over dictionaries in one process, no broker while the clock runs.

It first reads its whole input, then prints one JSON object, ``{"events_per_second": …}``, taken over the events after
the first tenth.
"""

from __future__ import annotations

import sys
import time

import orjson
from confluent_kafka import Consumer

from benchmarks.peers.arguments import Arguments, parse_arguments
from benchmarks.reference import State, TerminalStep, customer_step, encode, parse


def main() -> None:
    """Read every event, run the loop, and print its pace."""
    events = read_all(parse_arguments(__doc__))
    loop = Loop()
    warm = len(events) // 10
    loop.run(events[:warm])
    started = time.perf_counter()
    loop.run(events[warm:])
    pace = (len(events) - warm) / (time.perf_counter() - started)
    sys.stdout.write(orjson.dumps({"events_per_second": pace}).decode() + "\n")


class Loop:
    """Both hops, called one after the other."""

    def __init__(self) -> None:
        self._customers: dict[str, State] = {}
        self._terminals: dict[str, State] = {}
        self._terminal = TerminalStep()

    def run(self, events: list[bytes]) -> list[bytes]:
        """Return the encoded results, in the order of the events."""
        customers, terminals, results = self._customers, self._terminals, []
        for raw in events:
            event = parse(raw)
            user, terminal = event["user"], event["terminal"]
            customers[user], enriched = customer_step(customers.get(user), event)
            terminals[terminal], result = self._terminal.step(terminals.get(terminal), enriched)
            results.append(encode(result))
        return results


def read_all(arguments: Arguments) -> list[bytes]:
    """Return the values of the whole input topic, as they arrive."""
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.kafka,
            "group.id": arguments.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([arguments.input])
    values: list[bytes] = []
    while len(values) < arguments.events:
        values += [message.value() for message in consumer.consume(10_000, timeout=0.1) if not message.error()]
    consumer.close()
    return values


if __name__ == "__main__":
    main()
