"""Where a consumer group reads on: moved back, so that what was written since is written once more."""

from collections.abc import Iterable

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.topic_admin import TIMEOUT_SECONDS, KafkaAway


def move_group(bootstrap: str, group: str, offsets: Iterable[tuple[str, int, int]]) -> None:
    """Let a group without members read on from these offsets of (topic, partition). Raises KafkaAway."""
    parts = [TopicPartition(topic, partition, offset) for topic, partition, offset in offsets]
    if not parts:
        return
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    asked = [ConsumerGroupTopicPartitions(group, parts)]
    try:
        client.alter_consumer_group_offsets(asked, request_timeout=TIMEOUT_SECONDS)[group].result()
    except KafkaException as error:
        raise KafkaAway(f"group {group} cannot be moved to where the backup was: {error.args[0].str()}") from None
