"""Giving an order to a model's learner, and waiting until a worker has obeyed."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any, NamedTuple

from processors.model_orders import FIELDS, AnyExample, AnyVersion, Excluded, back_to, on_from, taught_anew
from processors.offer_features import WIDTHS
from schemas.errors import BadMessage
from schemas.offer_results import OfferExample, RankerVersion
from schemas.offer_topics import OFFER_EXAMPLES, RANKERS
from schemas.records import Record, Topic
from schemas.results import Example, ModelOrder
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
    base: AnyVersion | None
    learned: int
    excluded: int


class Keys(NamedTuple):
    """What vouches for a model's bytes, the features a fraud model must be of, and who gives the order."""

    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes], bytes]
    features: tuple[str, ...]
    features_id: str
    by: str = ""


async def newest_versions(reader: Reader, tenant: str) -> dict[str, AnyVersion]:
    """Return the newest version of each model, rankers included, without its blob."""
    rankers: dict[str, AnyVersion] = {
        name: RANKERS.decode(value) for name, value in (await reader.rankers(tenant)).items()
    }
    return rankers | {name: MODELS.decode(value) for name, value in (await reader.models(tenant)).items()}


async def newest_of(reader: Reader, model: str, tenant: str) -> AnyVersion:
    """Return the newest version of a model, without its blob. Raises Refused for one that has none."""
    versions = await newest_versions(reader, tenant)
    if model not in versions:
        known = ", ".join(sorted(versions)) or "none yet"
        raise Refused(f"no model {model!r} of tenant {tenant!r} has been published; there is {known}")
    return versions[model]


async def _kept(reader: Reader, newest: AnyVersion, version: int) -> AnyVersion | None:
    """Return a version of the model that `newest` is of, with its blob."""
    if isinstance(newest, RankerVersion):
        stored = await reader.ranker_version(newest.model, version, newest.tenant)
        return None if stored is None else RANKERS.decode(stored)
    stored = await reader.model_version(newest.model, version, newest.tenant)
    return None if stored is None else MODELS.decode(stored)


async def rollback(reader: Reader, model: str, version: int, tenant: str, by: str) -> ModelOrder:
    """Return the order that puts a model back to a version. Raises Refused for one that is not kept."""
    newest = await newest_of(reader, model, tenant)
    if version == newest.version:
        raise Refused(f"{newest.event_id} is the newest version: nothing to go back to")
    found = await _kept(reader, newest, version)
    if found is None:
        raise Refused(
            f"{model}@{version} is not kept: versions rest in Redis for 90 days, the newest is {newest.version}"
        )
    return back_to(found, newest, by)


async def rebuild(
    reader: Reader,
    log: Log,
    model: str,
    excluded: Sequence[Excluded],
    start: int | None,
    keys: Keys,
    tell: Callable[[str], None],
) -> Rebuilt:
    """Return the order that puts a model where it would be without some of the outcomes that the log has.

    The model goes on from version `start` (0: from nothing), for None from the last one that had learned none of those,
    with all the others. Raises Refused when no outcome is excluded, by a field that its outcomes do not have, when too
    few are left, or no such version is kept; BadSignature and ValueError for a version signed with another secret, or
    of other features.
    """
    newest = await newest_of(reader, model, "default")
    known = frozenset(WIDTHS) if isinstance(newest, RankerVersion) else {keys.features_id}
    if newest.features not in known:
        raise Refused(f"{newest.event_id} is of other features than these settings declare: use the worker's settings")
    kind: type[AnyExample] = OfferExample if isinstance(newest, RankerVersion) else Example
    if unknown := [each.field for each in excluded if each.field not in FIELDS[kind]]:
        raise Refused(f"outcomes of {model} have no {', '.join(unknown)}, but {', '.join(FIELDS[kind])}")
    kept: list[AnyExample] = []
    bad: list[AnyExample] = []
    for example in logged(log, kind):
        if example.model == model and example.features in known:
            (bad if any(each.has(example) for each in excluded) else kept).append(example)
    tell(f"{len(kept):,} outcomes, and {len(bad):,} to leave out")
    named = " or ".join(f"{each.field}={each.value}" for each in excluded)
    if not bad:
        raise Refused(f"none of the {len(kept):,} outcomes in the log has {named}: nothing to leave out")
    base = await _base(reader, newest, bad[0], start)
    learner = taught_anew(base, newest, kept, keys.features, keys.verify)
    if not learner.ready:
        raise Refused(f"{learner.examples:,} outcomes are left, too few to teach {model} anew: all would score alike")
    why = f"rebuilt from {'nothing' if base is None else base.event_id} without {named}"
    order = on_from(learner, newest, keys.sign, why, keys.by)
    return Rebuilt(order, base, learner.examples - (0 if base is None else base.examples), len(bad))


async def _base(reader: Reader, newest: AnyVersion, bad: AnyExample, start: int | None) -> AnyVersion | None:
    """Return the version to go on from: the one asked for, or the last that had not learned from `bad`."""
    if start == 0:
        return None
    for version in range(newest.version, 0, -1) if start is None else (start,):
        found = await _kept(reader, newest, version)
        if found is None:
            break
        if start is not None or found.learned_through < bad.matured_at:
            return found
    if start is not None:
        raise Refused(f"{newest.model}@{start} is not kept: versions rest in Redis for 90 days")
    raise Refused(
        f"no version of {newest.model} from before the first of these outcomes is kept: say --from 0 to begin anew"
    )


def logged(log: Log, kind: type[AnyExample]) -> Iterator[AnyExample]:
    """Yield the outcomes that the log still has, each once, in the order of each partition; a model's lie in one."""
    seen: set[tuple[object, ...]] = set()
    topic: Topic[Any] = OFFER_EXAMPLES if kind is OfferExample else EXAMPLES
    for partition, end in sorted(log.ends(topic.name).items()):
        for raw in log.read(topic.name, partition, 0, end - 1):
            try:
                example = topic.decode(raw.value)
            except BadMessage:
                continue  # a worker made a dead letter of it
            if (once := _identity(example)) not in seen:
                seen.add(once)
                yield example


def _identity(example: AnyExample) -> tuple[object, ...]:
    """Return what two outcomes share only if one is the other, said again."""
    if isinstance(example, OfferExample):
        return example.model, example.event_id, example.late, example.before, example.reward, example.matured_at
    return example.model, example.event_id, example.label


async def give(reader: Reader, bootstrap: str, order: ModelOrder, seconds: float) -> AnyVersion:
    """Publish an order and return the version in which it was obeyed. Raises Refused when that takes too long."""
    before = await newest_of(reader, order.model, order.tenant)
    publish([Record(MODEL_ORDERS, order, order.event_id)], bootstrap)
    deadline, looked = monotonic() + seconds, before.version
    while monotonic() < deadline:
        newest = await newest_of(reader, order.model, order.tenant)
        for version in range(looked, newest.version + 1):
            found = await _kept(reader, newest, version)
            if found is not None and found.order == order.event_id:
                return found
        looked = newest.version
        await asyncio.sleep(POLL_SECONDS)
    raise Refused(
        f"the order {order.event_id} is in the log, but no worker has obeyed it in {seconds:g} s: is one running?"
    )
