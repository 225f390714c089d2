"""Headrace's topics on a Kafka cluster: created as declared, listed as they are."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from functools import partial
from time import monotonic, sleep

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.offer_topics import RANKERS
from schemas.records import AnyTopic
from schemas.topics import ALL, DEAD_LETTERS, MODELS
from streams.kafka_log import KafkaLog
from streams.settled import settled

TIMEOUT_SECONDS = 15.0
MODEL_BYTES = 32 * 1024 * 1024
"""Largest message on `models` and `rankers`: a snapshot of a learner. A dead letter, too, is larger than what it seals:
a message of the cluster's own limit must find room in it. Other topics keep that limit."""

UNSETTLED = frozenset(
    {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
)
"""What a broker says of a group while it is not settled yet who keeps it: ask again."""


class KafkaAway(RuntimeError):
    """No broker answers, or it refuses what was asked."""


class WrongPartitions(ValueError):
    """A topic exists with another number of partitions: keys would go elsewhere than the state they belong to."""


class TopicState(msgspec.Struct, frozen=True):
    """A topic as declared, and the partitions it has on the cluster; None where it does not exist."""

    name: str
    message: str
    partitions: int
    found: int | None
    retention_ms: int | None
    compacted: bool
    internal: bool


def create_topics(bootstrap: str, topics: Sequence[AnyTopic] = ALL, replication: int = 1) -> list[str]:
    """Create the topics that do not exist yet and return their names, once the cluster knows them all.

    Raises WrongPartitions, before creating any, when one exists with another partition count; and KafkaAway.
    """
    client = _client(bootstrap)
    found = _partitions(client, bootstrap)
    wrong = [topic for topic in topics if found.get(topic.name, topic.partitions) != topic.partitions]
    if wrong:
        told = ", ".join(f"{topic.name} has {found[topic.name]} partitions, not {topic.partitions}" for topic in wrong)
        raise WrongPartitions(f"{told}: delete it, or publish to a cluster of its own")
    missing = [topic for topic in topics if topic.name not in found]
    if missing:
        _create(client, missing, replication)
        _await(client, bootstrap, [topic.name for topic in topics])
    return [topic.name for topic in missing]


def renew_topics(bootstrap: str, topics: Sequence[AnyTopic] = ALL) -> None:
    """Leave these topics as if they had just been created, whatever was in them. Raises KafkaException, KafkaAway."""
    names = [topic.name for topic in topics]
    delete_topics(bootstrap, names)
    create_topics(bootstrap, topics)
    await_empty(bootstrap, names)


def delete_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Delete those of the topics that exist, and return once they are gone. Raises KafkaException, KafkaAway."""
    client = _client(bootstrap)
    for deleted in client.delete_topics(list(names), operation_timeout=TIMEOUT_SECONDS).values():
        try:
            deleted.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    _until(lambda: set(names) & set(_partitions(client, bootstrap)), "were deleted, but the cluster still has them")


def await_empty(bootstrap: str, names: Sequence[str]) -> None:
    """Return once every partition of the topics is there and empty. Raises KafkaException, and KafkaAway in the end.

    A broker takes writes for a while into what it has of a deleted topic, when one of the same name follows: they are
    acknowledged, and gone with it.
    """
    with closing(KafkaLog(bootstrap)) as log:
        _until(lambda: {name for name in names if any(log.ends(name).values())}, "were made anew, but are not empty")


def list_topics(bootstrap: str, topics: Sequence[AnyTopic] = ALL) -> list[TopicState]:
    """Return the topics as declared and as they are. Raises KafkaAway."""
    found = _partitions(_client(bootstrap), bootstrap)
    return [
        TopicState(
            name=topic.name,
            message=topic.model.__name__,
            partitions=topic.partitions,
            found=found.get(topic.name),
            retention_ms=None if topic.compacted else topic.retention_ms,
            compacted=topic.compacted,
            internal=topic.internal,
        )
        for topic in topics
    ]


def committed_offsets(bootstrap: str, group: str, counts: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """Return what Kafka has noted as read by a group, by topic and partition, where anything. Raises KafkaAway."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0, "error_cb": _unanswered})
    parts = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    try:
        asked = partial(consumer.committed, parts, timeout=TIMEOUT_SECONDS)
        found: list[TopicPartition] = settled(asked, *UNSETTLED, seconds=TIMEOUT_SECONDS)
    except KafkaException as error:
        raise KafkaAway(f"no Kafka broker at {bootstrap} tells of group {group}: {error.args[0].str()}") from None
    finally:
        consumer.close()
    return {(part.topic, part.partition): part.offset for part in found if part.offset > 0}


def configuration(topic: AnyTopic, replication: int) -> dict[str, str]:
    """Return the topic's settings on the cluster. With three replicas or more, all but one must have a record."""
    config = {"cleanup.policy": "compact" if topic.compacted else "delete"}
    if topic.retention_ms:
        config["min.compaction.lag.ms" if topic.compacted else "retention.ms"] = str(topic.retention_ms)
    if topic in (MODELS, RANKERS, DEAD_LETTERS):
        config["max.message.bytes"] = str(MODEL_BYTES)
    if replication >= 3:
        config["min.insync.replicas"] = str(replication - 1)
    return config


def _client(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "error_cb": _unanswered})


def _unanswered(_error: KafkaError) -> None:
    """Take librdkafka's word that a broker is away without printing it: the call itself times out and says so."""


def _partitions(client: AdminClient, bootstrap: str) -> dict[str, int]:
    try:
        topics = client.list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise KafkaAway(f"no Kafka broker answers at {bootstrap} ({error.args[0].str()}): is it running?") from None
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _create(client: AdminClient, topics: Sequence[AnyTopic], replication: int) -> None:
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication,
            config=configuration(topic, replication),
        )
        for topic in topics
    ]
    for name, created in client.create_topics(wanted, operation_timeout=TIMEOUT_SECONDS).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaAway(f"{name} cannot be created: {error.args[0].str()}") from None


def _await(client: AdminClient, bootstrap: str, names: Sequence[str]) -> None:
    unknown = "were created, but the cluster does not know them yet"
    _until(lambda: set(names) - set(_partitions(client, bootstrap)), unknown)


def _until(wrong: Callable[[], Collection[str]], what: str) -> None:
    """Return once nothing is wrong with any topic. Raises KafkaAway, which names those with which it is."""
    deadline = monotonic() + TIMEOUT_SECONDS
    while topics := wrong():
        if monotonic() > deadline:
            raise KafkaAway(f"{', '.join(sorted(topics))} {what}")
        sleep(0.05)
