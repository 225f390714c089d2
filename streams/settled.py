"""Asking a Kafka cluster again while it is not settled yet who answers."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from confluent_kafka import KafkaException

T = TypeVar("T")

RETRY_SECONDS = 0.1


def settled(request: Callable[[], T], *passing: int, seconds: float = 30.0) -> T:
    """Return what the request does, asking again for up to `seconds` while it fails with one of these error codes.

    A topic that was just created or deleted, or a group just after the cluster's start, is answered so until the
    brokers' metadata has caught up.
    """
    deadline = monotonic() + seconds
    while True:
        try:
            return request()
        except KafkaException as error:
            if error.args[0].code() not in passing or monotonic() > deadline:
                raise
        sleep(RETRY_SECONDS)
