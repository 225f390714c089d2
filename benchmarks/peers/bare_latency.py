"""The bare two-hop consumer: re-keys by terminal through a topic, then SETs in Redis; computes and keeps nothing.

It is what the broker and Redis alone cost on the same path. Runs until SIGTERM, or until it has stored ``--events``.
The value stored under ``bare:<event id>`` is the transaction as it was sent; ``--output`` names the topic between the
two hops, which must exist.
"""

from __future__ import annotations

from confluent_kafka import Consumer, Message, Producer
from redis import Redis

from benchmarks.peers.arguments import Arguments, parse_arguments
from benchmarks.reference import parse

KEY = "bare:{}"


def main() -> None:
    """Relay until every event has been stored."""
    arguments = parse_arguments(__doc__)
    relay = Relay(arguments)
    stored = 0
    while stored < arguments.events:
        stored += relay.turn()
    relay.close()


class Relay:
    """One consumer of both topics, one producer between the hops, one Redis connection."""

    def __init__(self, arguments: Arguments) -> None:
        broker = {"bootstrap.servers": arguments.kafka}
        self._input, self._between = arguments.input, arguments.output
        self._consumer = Consumer(
            broker | {"group.id": arguments.group, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10}
        )
        self._consumer.subscribe([self._input, self._between])
        self._producer = Producer(broker | {"linger.ms": 0, "partitioner": "murmur2_random"})
        self._redis = Redis.from_url(arguments.redis)

    def turn(self) -> int:
        """Relay what has arrived, waiting up to a second for the first; return how many were stored."""
        first = self._consumer.poll(1.0)
        if first is None:
            return 0
        arrived = [first, *self._consumer.consume(499, timeout=0)]
        arrived = [message for message in arrived if not message.error()]
        self._rekey([message for message in arrived if message.topic() == self._input])
        return self._store([message for message in arrived if message.topic() == self._between])

    def _rekey(self, messages: list[Message]) -> None:
        for message in messages:
            value = message.value()
            self._producer.produce(self._between, value, parse(value)["terminal"])
        self._producer.poll(0)

    def _store(self, messages: list[Message]) -> int:
        if not messages:
            return 0
        pipeline = self._redis.pipeline(transaction=False)
        for message in messages:
            value = message.value()
            pipeline.set(KEY.format(parse(value)["event_id"]), value)
        pipeline.execute()
        return len(messages)

    def close(self) -> None:
        """Leave the group and hand over what is queued."""
        self._producer.flush(10)
        self._consumer.close()
        self._redis.close()


if __name__ == "__main__":
    main()
