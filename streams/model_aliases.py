"""Saying which model decides, and reading who does."""

from contextlib import closing

from schemas.results import ModelAlias
from schemas.topics import MODEL_ALIASES
from sinks.serving import Reader
from streams.journal import Log
from streams.kafka_log import KafkaLog
from streams.model_orders import newest_of
from streams.table_contents import TableContents


async def promotion(reader: Reader, model: str, share: float | None, why: str, by: str, now: int) -> ModelAlias:
    """Return what makes a model the champion, or, with a share of the customers in [0, 1], the challenger.

    `now` is milliseconds since 1970 UTC. Raises Refused for a model that has no version yet.
    """
    newest = await newest_of(reader, model, "default")
    return ModelAlias(
        event_id=f"{newest.event_id}>{now}",
        event_time=now,
        alias="champion" if share is None else "challenger",
        model=model,
        share=1.0 if share is None else share,
        why=why,
        by=by,
    )


def aliases(bootstrap: str) -> list[ModelAlias]:
    """Return what every alias names by now. Raises KafkaException."""
    with closing(KafkaLog(bootstrap)) as log:
        return said_last(log)


def said_last(log: Log) -> list[ModelAlias]:
    """Return what the log said last of each alias, the champion first; what cannot be read says nothing."""
    contents = TableContents((MODEL_ALIASES,))
    for partition, end in log.ends(MODEL_ALIASES.name).items():
        for raw in log.read(MODEL_ALIASES.name, partition, 0, end - 1):
            contents.apply(MODEL_ALIASES.name, partition, raw)
    return sorted(contents.tables[MODEL_ALIASES].values(), key=lambda each: each.alias, reverse=True)
