"""Finding decisions that were made: by their id, and any number of them at random."""

from collections.abc import Iterator
from random import Random

from schemas.keys import keyed
from schemas.offer_results import Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import AnyTopic
from schemas.results import FraudScore
from schemas.topics import SCORES
from sinks.serving import Reader
from streams.inbound import Raw
from streams.journal import Log
from streams.kafka_log import Stored
from streams.partitioning import partition_of


async def score_of(reader: Reader, log: Log, event_id: str, tenant: str) -> FraudScore | None:
    """Return the score of an event: from Redis, or, once it has expired there, from the log. Raises SinkBusy."""
    if (score := await reader.score(event_id, tenant)) is not None:
        return SCORES.decode(score)
    key, ends = keyed(tenant, event_id), log.ends(SCORES.name)
    partition = partition_of(key, len(ends))
    for raw in log.read(SCORES.name, partition, 0, ends[partition] - 1):
        if raw.key == key.encode():
            return SCORES.decode(raw.value)
    return None


async def ranking_of(reader: Reader, log: Log, event_id: str, tenant: str) -> Ranking | None:
    """Return the ranking of a decision: from Redis, or, once it has expired there, from the log. Raises SinkBusy."""
    if (ranking := await reader.ranking(event_id, tenant)) is not None:
        return RANKINGS.decode(ranking)
    for raw in _all(log, RANKINGS):
        if event_id.encode() in (raw.value or b""):
            found = RANKINGS.decode(raw.value)
            if (found.tenant, found.event_id) == (tenant, event_id):
                return found
    return None


async def versions_of(reader: Reader, score: FraudScore) -> list[Stored]:
    """Return the model versions that a score names, as far as Redis has them, as entries of `models`."""
    named = {score.model: score.version, **score.shadow_versions}
    found = [(model, await reader.model_version(model, version, score.tenant)) for model, version in named.items()]
    return [Stored(-1, 0, model.encode(), value, ()) for model, value in found if value is not None]


def some_scores(log: Log, count: int, seed: int = 0) -> list[FraudScore]:
    """Return up to `count` scores of the log, drawn at random, but none that was made from a file."""
    random, kept, seen = Random(seed), list[FraudScore](), set[tuple[str, int, int]]()
    for raw in _all(log, SCORES):
        score = SCORES.decode(raw.value)
        place = (score.input_topic, score.input_partition, score.input_offset)
        if score.input_offset < 0 or place in seen:
            continue
        seen.add(place)
        # A reservoir: whatever comes later is as likely to be kept as what came first.
        if len(kept) < count:
            kept.append(score)
        elif (at := random.randrange(len(seen))) < count:
            kept[at] = score
    return kept


def _all(log: Log, topic: AnyTopic) -> Iterator[Raw]:
    for partition, end in log.ends(topic.name).items():
        yield from log.read(topic.name, partition, 0, end - 1)
