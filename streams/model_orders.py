"""Giving an order to a model's learner, and waiting until a worker has obeyed."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from time import monotonic
from typing import Any, NamedTuple

from processors.learning import mark
from processors.model_orders import (
    FIELDS,
    AnyExample,
    AnyVersion,
    Excluded,
    Past,
    back_to,
    corrects,
    on_from,
    taught_anew,
)
from processors.offer_features import WIDTHS
from schemas.errors import BadMessage
from schemas.offer_results import OfferExample, RankerVersion
from schemas.offer_topics import OFFER_EXAMPLES, RANKERS
from schemas.records import Record, Topic
from schemas.results import Example, ModelOrder
from schemas.topics import EXAMPLES, MODEL_ORDERS, MODELS
from sinks.serving import Reader
from streams.journal import Log
from streams.outbox import origin
from streams.publish import publish

POLL_SECONDS = 0.1


class Refused(LookupError):
    """An order that cannot be given; the message says why and what can be done."""


class Asked(NamedTuple):
    """What a rebuild leaves out of a model, and the version it goes on from: 0 is nothing, None the last without it."""

    model: str
    excluded: Sequence[Excluded]
    start: int | None = None

    @property
    def named(self) -> str:
        """What is left out, in words."""
        return " or ".join(f"{each.field}={each.value}" for each in self.excluded)


class Rebuilt(NamedTuple):
    """What a model was rebuilt from: a version (None: nothing), and how many outcomes were learned and left out.

    `kept` outcomes are in the log and were not excluded. Up to `doubtful` of them were passed over though the version
    may not have learned them, since it does not tell how far it had learned. `unseen` says that it had learned outcomes
    that the log no longer has: nobody can tell whether there are excluded ones among them.
    """

    order: ModelOrder
    base: AnyVersion | None
    learned: int
    excluded: int
    kept: int
    doubtful: int
    unseen: bool


class Keys(NamedTuple):
    """What vouches for a model's bytes, what its learner is set to, and who gives the order.

    `features` are those a fraud model must be of; without `corrects`, what corrects a ranker's examples is not learned.
    """

    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes], bytes]
    features: tuple[str, ...]
    features_id: str
    by: str = ""
    corrects: bool = True


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


async def rebuild(reader: Reader, log: Log, asked: Asked, keys: Keys) -> Rebuilt:
    """Return the order that puts a model where it would be without some of the outcomes that the log has.

    It goes on from a version with all the others that were learned since. Raises Refused when no outcome is excluded,
    by a field that its outcomes do not have, when too few are left, or no such version is kept; BadSignature and
    ValueError for a version signed with another secret, or of other features.
    """
    newest = await newest_of(reader, asked.model, "default")
    past, whole = _past(log, newest, _sets(newest, asked, keys), keys)
    bad = {n for n, each in enumerate(past.outcomes) if any(one.has(each) for one in asked.excluded)}
    kept = len(past.outcomes) - len(bad)
    if not bad:
        raise Refused(f"none of the {kept:,} outcomes in the log has {asked.named}: nothing to leave out")
    base = await _base(reader, newest, past, min(bad), asked.start)
    place, doubtful = past.place(base)
    since = (each for n, each in enumerate(past.outcomes) if n >= place and n not in bad)
    learner = taught_anew(base, newest, since, keys.features, keys.verify)
    if not learner.ready:
        raise Refused(f"{learner.examples:,} outcomes are left, too few to teach {asked.model} anew: all score alike")
    learner.last = past.last  # what was left out at the end is behind it, too
    why = f"rebuilt from {'nothing' if base is None else base.event_id} without {asked.named}"
    order = on_from(learner, newest, keys.sign, why, keys.by)
    learned = learner.examples - (0 if base is None else base.examples)
    unseen = base is not None and (not whole or past.unseen(base))
    return Rebuilt(order, base, learned, len(bad), kept, doubtful, unseen)


def doubts(rebuilt: Rebuilt, named: str) -> Iterator[str]:
    """Yield what an operator should know of a rebuilt model: what it may still have learned, and what it may lack."""
    if rebuilt.base is None:
        return
    base = rebuilt.base.event_id
    if rebuilt.unseen:
        yield (
            f"{base} had learned outcomes that the log no longer has; nobody can tell whether {named} was among them. "
            f"Without all of those: --from 0, which learns nothing but the {rebuilt.kept:,} others in the log"
        )
    if rebuilt.doubtful:
        yield (
            f"{base} does not tell which outcome it learned last: it may lack some of the {rebuilt.doubtful:,} "
            "that were passed over because they matured no later than all it knew"
        )


def _sets(newest: AnyVersion, asked: Asked, keys: Keys) -> Collection[str]:
    """Return the feature sets that a model learns outcomes of. Raises Refused for what it cannot be rebuilt without."""
    ranker = isinstance(newest, RankerVersion)
    sets = WIDTHS if ranker else {keys.features_id}
    if newest.features not in sets:
        raise Refused(f"{newest.event_id} is of other features than these settings declare: use the worker's settings")
    fields = FIELDS[OfferExample if ranker else Example]
    if unknown := [each.field for each in asked.excluded if each.field not in fields]:
        raise Refused(f"outcomes of {asked.model} have no {', '.join(unknown)}, but {', '.join(fields)}")
    return sets


def _past(log: Log, newest: AnyVersion, sets: Collection[str], keys: Keys) -> tuple[Past, bool]:
    """Return what the log has of a model's outcomes, and whether it has its own beginning."""
    past, whole = Past(), True
    for found in logged(log, OfferExample if isinstance(newest, RankerVersion) else Example):
        example = found.example
        if example.model == newest.model:
            whole = whole and found.first == 0
            if example.features in sets and (keys.corrects or not corrects(example)):
                past.add(example)
            past.note(mark(found.id))
    return past, whole


async def _base(reader: Reader, newest: AnyVersion, past: Past, first_bad: int, start: int | None) -> AnyVersion | None:
    """Return the version to go on from: the one asked for, or the last that had learned nothing from the first bad."""
    if start == 0:
        return None
    for version in range(newest.version, 0, -1) if start is None else (start,):
        found = await _kept(reader, newest, version)
        if found is None:
            break
        if start is not None or past.place(found).learned <= first_bad:
            return found
    if start is not None:
        raise Refused(f"{newest.model}@{start} is not kept: versions rest in Redis for 90 days")
    raise Refused(
        f"no version of {newest.model} from before the first of these outcomes is kept: say --from 0 to begin anew"
    )


class Logged(NamedTuple):
    """An outcome in the log, the id of its record, and the first offset that its partition still has."""

    id: str
    example: AnyExample
    first: int


def logged(log: Log, kind: type[AnyExample]) -> Iterator[Logged]:
    """Yield the outcomes that the log still has, each once, in the order of each partition; a model's lie in one."""
    topic: Topic[Any] = OFFER_EXAMPLES if kind is OfferExample else EXAMPLES
    for partition, end in sorted(log.ends(topic.name).items()):
        seen: set[tuple[object, ...]] = set()
        first: int | None = None
        for raw in log.read(topic.name, partition, 0, end - 1):
            first = raw.offset if first is None else first
            try:
                example = topic.decode(raw.value)
                said = origin(raw.headers)
            except (BadMessage, ValueError):
                continue  # a worker made a dead letter of it
            found = Logged(example.event_id if said is None else said.id, example, first)
            if (once := (found.id, *_identity(example))) not in seen:
                seen.add(once)
                yield found


def _identity(example: AnyExample) -> tuple[object, ...]:
    """Return what two outcomes share only if one is the other, said again."""
    common = (example.tenant, example.model, example.event_id, example.label)
    if isinstance(example, OfferExample):
        return *common, example.late, example.before, example.reward, example.matured_at
    return common


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
