"""How far each processor has read the log, by Kafka's ends and the checkpoints: for who tells how fresh results are."""

import asyncio
from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from redis.asyncio import Redis

from api.backlog import Place, Reading
from sinks.base import SinkBusy
from sinks.store import Position
from sinks.taken import taken
from streams.log_tail import LogTail
from streams.pipeline import Pipeline

REQUEST_SECONDS = 1.0
ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._NOENT)
"""What the broker answers for a topic that is not there, and librdkafka where none of them is."""


class Unread:
    """Tells the place of every processor of a pipeline in what it reads; see `api.backlog.Log`."""

    def __init__(self, pipeline: Pipeline, kafka: str, redis: Redis) -> None:
        self._readings = [
            Reading(processor.name, topic.name, partition)
            for processor in pipeline.processors
            for topic in processor.inputs
            for partition in range(topic.partitions)
        ]
        self._admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
        self._redis = redis
        self._tail = LogTail(kafka)
        self._before: dict[Reading, Place] = {}
        self._ended: dict[Reading, tuple[Place, bool | None]] = {}

    async def places(self) -> Mapping[Reading, Place]:
        """Return all places; a topic that is not there has none. Raises SinkBusy while Kafka or Redis is away."""
        # The checkpoints first: a record that comes meanwhile then waits, instead of being taken before it was there.
        tasks = dict.fromkeys(f"{each.processor}/{each.partition}" for each in self._readings)
        last = await taken(self._redis, list(tasks))
        ends = await asyncio.to_thread(self._offsets, self._readings, OffsetSpec.latest())
        found = {}
        for each in self._readings:
            at = Position(each.topic, each.partition)
            if at in ends:
                begin = last[f"{each.processor}/{each.partition}"].get(at, -1) + 1
                found[each] = Place(begin, ends[at])
        return await self._without_marks(await self._without_deleted(found))

    async def _without_deleted(self, places: dict[Reading, Place]) -> dict[Reading, Place]:
        """Return the places, where those begin that have something to read no earlier than their log still does."""
        behind = [each for each, place in places.items() if place.next < place.end]
        if not behind:
            return places
        starts = await asyncio.to_thread(self._offsets, behind, OffsetSpec.earliest())
        for each in behind:
            start = starts.get(Position(each.topic, each.partition), 0)
            places[each] = places[each]._replace(next=max(places[each].next, start))
        return places

    async def _without_marks(self, places: dict[Reading, Place]) -> dict[Reading, Place]:
        """Return the places, where those have come to the end behind which only ends of transactions stand.

        Only a place that is as it was at the last look is looked into: all others may still be moving.
        """
        still = [each for each, place in places.items() if place.next < place.end and self._before.get(each) == place]
        self._before = dict(places)
        for each in still:
            place, (seen, empty) = places[each], self._ended.get(each, (None, None))
            if seen != place or empty is None:
                empty = await asyncio.to_thread(self._tail.is_empty, each.topic, each.partition, place.next)
                self._ended[each] = place, empty
            if empty:
                places[each] = place._replace(next=place.end)
        return places

    def _offsets(self, readings: Iterable[Reading], which: OffsetSpec) -> dict[Position, int]:
        asked = {TopicPartition(each.topic, each.partition): which for each in readings}
        found = {}
        for part, answer in self._admin.list_offsets(asked, request_timeout=REQUEST_SECONDS).items():
            try:
                offset = answer.result(2 * REQUEST_SECONDS).offset
            except (KafkaException, TimeoutError) as error:
                if isinstance(error, KafkaException) and error.args[0].code() in ABSENT:
                    continue
                raise SinkBusy(REQUEST_SECONDS, f"Kafka: {error}") from error
            if offset < 0:  # what librdkafka answers for a broker that is away
                raise SinkBusy(REQUEST_SECONDS, f"Kafka does not tell where {part.topic} ends")
            found[Position(part.topic, part.partition)] = offset
        return found
