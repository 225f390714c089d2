"""Giving an order to a model's learner, and waiting until a worker has obeyed."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import NamedTuple

from processors.model_orders import Excluded, back_to, on_from, taught_anew
from schemas.errors import BadMessage
from schemas.records import Record
from schemas.results import Example, ModelOrder, ModelVersion
from schemas.topics import EXAMPLES, MODEL_ORDERS, MODELS
from sinks.serving import Reader
from streams.journal import Log
from streams.publish import publish

POLL_SECONDS = 0.1


class Refused(LookupError):
    """An order that cannot be given; the message says why and what can be done."""


class Rebuilt(NamedTuple):
    """What a model was rebuilt from: a version (None: nothing), and how many outcomes were learned and left out."""

    order: ModelOrder
    base: ModelVersion | None
    learned: int
    excluded: int


class Keys(NamedTuple):
    """What vouches for a model's bytes, the features it must be of, and who gives the order."""

    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes], bytes]
    features: tuple[str, ...]
    features_id: str
    by: str = ""


async def newest_of(reader: Reader, model: str, tenant: str) -> ModelVersion:
    """Return the newest version of a model, without its blob. Raises Refused for one that has none."""
    versions = await reader.models(tenant)
    if model not in versions:
        known = ", ".join(sorted(versions)) or "none yet"
        raise Refused(f"no model {model!r} of tenant {tenant!r} has been published; there is {known}")
    return MODELS.decode(versions[model])


async def rollback(reader: Reader, model: str, version: int, tenant: str, by: str) -> ModelOrder:
    """Return the order that puts a model back to a version. Raises Refused for one that is not kept."""
    newest = await newest_of(reader, model, tenant)
    if version == newest.version:
        raise Refused(f"{newest.event_id} is the newest version: nothing to go back to")
    stored = await reader.model_version(model, version, tenant)
    if stored is None:
        raise Refused(
            f"{model}@{version} is not kept: versions rest in Redis for 90 days, the newest is {newest.version}"
        )
    return back_to(MODELS.decode(stored), newest, by)


async def rebuild(
    reader: Reader, examples: Sequence[Example], model: str, excluded: Sequence[Excluded], start: int | None, keys: Keys
) -> Rebuilt:
    """Return the order that puts a model where it would be without some outcomes.

    `examples` are what the log has. The model goes on from version `start` (0: from nothing), for None from the last
    one that had learned none of those, with all the others. Raises Refused when no outcome is excluded, or no such
    version is kept; BadSignature and ValueError for a version signed with another secret, or of other features.
    """
    newest = await newest_of(reader, model, "default")
    if newest.features != keys.features_id:
        raise Refused(f"{newest.event_id} is of other features than these settings declare: use the worker's settings")
    kept: list[Example] = []
    bad: list[Example] = []
    for example in examples:
        if (example.model, example.features) == (model, newest.features):
            (bad if any(each.has(example) for each in excluded) else kept).append(example)
    named = " or ".join(f"{each.field}={each.value}" for each in excluded)
    if not bad:
        raise Refused(f"none of the {len(kept):,} outcomes in the log has {named}: nothing to leave out")
    base = await _base(reader, newest, bad[0], start)
    learner = taught_anew(base, newest, kept, keys.features, keys.verify)
    why = f"rebuilt from {'nothing' if base is None else base.event_id} without {named}"
    order = on_from(learner, newest, keys.sign, why, keys.by)
    return Rebuilt(order, base, learner.examples - (0 if base is None else base.examples), len(bad))


async def _base(reader: Reader, newest: ModelVersion, bad: Example, start: int | None) -> ModelVersion | None:
    """Return the version to go on from: the one asked for, or the last that had not learned from `bad`."""
    if start == 0:
        return None
    for version in range(newest.version, 0, -1) if start is None else (start,):
        stored = await reader.model_version(newest.model, version)
        if stored is None:
            break
        found = MODELS.decode(stored)
        if start is not None or found.learned_through < bad.matured_at:
            return found
    if start is not None:
        raise Refused(f"{newest.model}@{start} is not kept: versions rest in Redis for 90 days")
    raise Refused(
        f"no version of {newest.model} from before the first of these outcomes is kept: say --from 0 to begin anew"
    )


def logged(log: Log) -> Iterator[Example]:
    """Yield the outcomes that the log still has, each once, in the order of each partition; a model's lie in one."""
    seen: set[tuple[str, str, bool]] = set()
    for partition, end in sorted(log.ends(EXAMPLES.name).items()):
        for raw in log.read(EXAMPLES.name, partition, 0, end - 1):
            try:
                example = EXAMPLES.decode(raw.value)
            except BadMessage:
                continue  # a worker made a dead letter of it
            if (once := (example.model, example.event_id, example.label)) not in seen:
                seen.add(once)
                yield example


async def give(reader: Reader, bootstrap: str, order: ModelOrder, seconds: float) -> ModelVersion:
    """Publish an order and return the version in which it was obeyed. Raises Refused when that takes too long."""
    before = await newest_of(reader, order.model, order.tenant)
    publish([Record(MODEL_ORDERS, order, order.event_id)], bootstrap)
    deadline, looked = monotonic() + seconds, before.version
    while monotonic() < deadline:
        newest = await newest_of(reader, order.model, order.tenant)
        for version in range(looked, newest.version + 1):
            stored = await reader.model_version(order.model, version, order.tenant)
            if stored is not None and (found := MODELS.decode(stored)).order == order.event_id:
                return found
        looked = newest.version
        await asyncio.sleep(POLL_SECONDS)
    raise Refused(
        f"the order {order.event_id} is in the log, but no worker has obeyed it in {seconds:g} s: is one running?"
    )
