"""The ledger: what was published, and where the broker acknowledged it. All ground truth of a drill."""

from collections.abc import Sequence
from threading import Event, Lock, Thread
from time import monotonic
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from schemas.records import AnyRecord
from streams.publish import settings

FLUSH_SECONDS = 90.0
POLL_SECONDS = 0.05


class Letter(NamedTuple):
    """One message to publish; `id` is its event's, None for one that nobody can read."""

    topic: str
    key: str
    value: bytes | None
    id: str | None


class Write(NamedTuple):
    """One message that the broker has, and where."""

    topic: str
    partition: int
    offset: int
    id: str | None


def letters(records: Sequence[AnyRecord]) -> list[Letter]:
    """Return records as messages to publish."""
    return [Letter(each.topic.name, each.key, each.topic.encode(each.message), each.id) for each in records]


class Publishing:
    """Publishes letters in a thread, `rate` a second, and keeps the ledger of what the broker acknowledged.

    `allowed` is the share that may go out by now: a fault holds the rest back until it needs it.

    Idempotent: what librdkafka sends twice is there once, so a letter without acknowledgement may be there all the
    same, but one with it is there. Use as a context manager, which waits for the thread.
    """

    def __init__(self, bootstrap: str, letters: Sequence[Letter], rate: float) -> None:
        self.total = len(letters)
        self.allowed = 1.0
        self._rushed = 0.0
        self.refused: list[str] = []
        self._writes: list[Write] = []
        self._lock = Lock()
        self._letters = letters
        self._rate = rate
        self._stopped = Event()
        self._producer = Producer(settings(bootstrap) | {"error_cb": _unanswered})
        self._thread = Thread(target=self._publish, name="publishing", daemon=True)

    def __enter__(self) -> "Publishing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def writes(self) -> list[Write]:
        """What the broker has acknowledged by now."""
        with self._lock:
            return list(self._writes)

    @property
    def share(self) -> float:
        """The share acknowledged by now, in [0, 1]."""
        return len(self._writes) / max(1, self.total)

    @property
    def done(self) -> bool:
        """Whether nothing more comes."""
        return not self._thread.is_alive()

    def rush(self, share: float) -> None:
        """Publish as fast as the broker takes it up to a share, and the rest at the rate, once it is allowed."""
        self.allowed = self._rushed = share

    def _publish(self) -> None:
        next_at = monotonic()
        for number, letter in enumerate(self._letters):
            next_at = max(next_at + 1 / self._rate, monotonic() - POLL_SECONDS)
            while self._waits(number, next_at):
                self._producer.poll(POLL_SECONDS / 10)
            if self._stopped.is_set():
                return
            self._send(letter)
        if left := self._producer.flush(FLUSH_SECONDS):
            self.refused.append(f"{left} were not acknowledged within {FLUSH_SECONDS:g} s")

    def _waits(self, number: int, until: float) -> bool:
        if self._stopped.is_set():
            return False
        return number >= self.allowed * self.total or (number >= self._rushed * self.total and monotonic() < until)

    def _send(self, letter: Letter) -> None:
        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.refused.append(f"{letter.id}: {error}")
                return
            with self._lock:
                self._writes.append(Write(letter.topic, message.partition() or 0, message.offset() or 0, letter.id))

        self._producer.produce(letter.topic, letter.value, letter.key, on_delivery=acknowledged)
        self._producer.poll(0)


def _unanswered(_error: KafkaError) -> None:
    """Take it without printing: what is lost, the ledger tells."""
