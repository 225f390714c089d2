"""However a stream is cut into batches or partitions, and wherever a task restarts, it says and keeps the same."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib import import_module
from itertools import chain, pairwise
from pkgutil import iter_modules
from typing import Any, get_args
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors
from processors.base import AnyProcessor, Said, Tables
from processors.offer_risk import RiskLimits
from processors.rollout import OfferRollout, StoppingRule
from processors.trial import Trial
from schemas.offer_topics import OFFER_EVENTS, RANKERS, RANKINGS
from schemas.recommendation_topics import ITEM_DEMANDS, RECOMMENDATIONS
from schemas.records import DAY, DUE, AnyRecord, Record
from schemas.rollout_results import RolloutOrder
from schemas.rollout_topics import ROLLOUT_ORDERS, ROLLOUTS
from schemas.topics import ALERTS, MODELS
from streams import assembly
from streams.assembly import fraud_pipeline
from streams.pipeline import Pipeline
from streams.replay import replay
from streams.settings import PipelineName, Settings
from streams.simulator import World, simulate
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import NOON
from tests.processors import item_world, offer_world

SETTINGS = Settings(label_window=2 * DAY, publish_every=100, sample_genuine=0.9)
WORLD = World(customers=110, terminals=60, days=16, fraud_rate=0.05, duplicates=0.05, label_delay_ms=5 * DAY)
NAMES = (
    *("features", "fraud", "outcomes", "learning"),
    *("offers", "offer-usage", "rewards", "offer-learning", "rollout"),
    *("recommendations", "demand"),
)
TRIAL = Trial("epsilon-greedy", "softmax", 0.5)
FIRST = 300
READY = 2_000
"""Examples that the model keeps before it places its knots; learners carry them all from batch to batch."""


def pipeline() -> dict[str, AnyProcessor]:
    """Return the processors by name, as a new process builds them."""
    offers = offer_world.pipeline(throttle=DAY // 2, risk=RiskLimits(bar=0.95, hold=DAY // 24), trial=TRIAL)
    trial = Pipeline((OfferRollout(TRIAL, StoppingRule(every=5)),))
    parts = (fraud_pipeline(SETTINGS), offers, trial, item_world.pipeline())
    return {processor.name: processor for part in parts for processor in part.processors}


def declared() -> Iterator[str]:
    """Yield the name of every processor that there is, whichever settings it takes to have it in a pipeline."""
    for module in iter_modules(processors.__path__, f"{processors.__name__}."):
        for each in vars(import_module(module.name)).values():
            own = isinstance(each, type) and each.__module__ == module.name
            if own and isinstance(name := vars(each).get("name"), str):
                yield name


@dataclass
class Taken:
    """A record as a task took it, and the tables it saw."""

    record: AnyRecord
    tables: Tables


@dataclass
class Noted:
    """A processor that notes what it is given."""

    inner: AnyProcessor
    taken: list[Taken] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def step(self, state: Any, record: AnyRecord, tables: Tables) -> tuple[Any, Iterable[Said]]:
        """Step, and note the record unless the task made it itself."""
        if record.topic is not DUE:
            self.taken.append(Taken(record, {topic: dict(tables[topic]) for topic in self.inner.tables}))
        return self.inner.step(state, record, tables)


@dataclass
class Journal:
    """What each processor took, in order, and what all of them said."""

    taken: dict[str, list[Taken]]
    said: list[AnyRecord]

    def said_by(self, name: str) -> list[tuple[str, str, bytes]]:
        """Return what one processor said."""
        return [shown(each) for each in self.said if each.id.rpartition(">")[2].startswith(f"{name}.")]


@pytest.fixture(scope="module")
def journal() -> Journal:
    noted = {name: Noted(processor) for name, processor in pipeline().items()}
    stream = chain(simulate(WORLD), offer_world.asking_world(), [ended()], item_world.shopping_world())
    said = list(replay(Pipeline(tuple(noted.values())), stream))
    return Journal({name: each.taken for name, each in noted.items()}, said)


def ended() -> AnyRecord:
    """Return the order that ends the trial."""
    said: dict[str, Any] = {"model": "offers", "trial": TRIAL.name, "why": "dear", "by": "ann", "given_at": NOON}
    order = RolloutOrder(event_id="o-1", event_time=0, state="rolled_back", **said)
    return Record(ROLLOUT_ORDERS, order, order.event_id)


@dataclass
class Outcome:
    """What a task said, and the bytes of every state it kept."""

    said: list[tuple[str, str, bytes]]
    states: dict[str, bytes]


def shown(record: AnyRecord) -> tuple[str, str, bytes]:
    return record.id, record.topic.name, record.topic.encode(record.message)


def restarted(name: str, batches: Iterable[Sequence[Taken]], partition: int = 0) -> Outcome:
    """Run a task over batches, each by a new process that finds only what the last one kept."""
    kept, dues = dict[str, bytes](), dict[str, int]()
    said, watermark, sources = list[tuple[str, str, bytes]](), -1, list[tuple[str, int, int]]()
    for batch in batches:
        processor = pipeline()[name]
        codec, tables = state_codec(processor), dict[Any, Any]()
        task = Task(processor, {}, tables, partition)
        task.resume(watermark, sources, dues)
        passed = max(watermark, *map(_reach, batch))
        for key in {taken.record.key for taken in batch} | set(task.due_keys(passed)):
            if key in kept:
                task.states[key] = codec.decode(kept[key])
        for taken in batch:
            tables.update(taken.tables)
            said += map(shown, task.step(taken.record))
        for key in task.changed:
            dues.pop(key, None)
            kept.pop(key, None)
            if key in task.states:
                kept[key] = codec.encode(task.states[key])
        dues |= task.changed_dues()
        watermark, sources = task.watermark, task.sources()
    return Outcome(said, kept)


def _reach(taken: Taken) -> int:
    return max(taken.record.time, taken.record.watermark or 0)


def straight(name: str, taken: Sequence[Taken], partition: int = 0) -> Outcome:
    """Run a task that never stops."""
    processor, tables = pipeline()[name], dict[Any, Any]()
    task = Task(processor, {}, tables, partition)
    said = []
    for each in taken:
        tables.update(each.tables)
        said += map(shown, task.step(each.record))
    codec = state_codec(processor)
    return Outcome(said, {key: codec.encode(state) for key, state in task.states.items()})


def state_hash(name: str, states: dict[str, bytes]) -> str:
    """Return the canonical hash of all states: keys sorted, floats rounded to 12 digits."""
    kind = pipeline()[name].state
    structs = issubclass(kind, msgspec.Struct)
    found = {key: canonical(msgspec.msgpack.decode(blob)) if structs else blob.hex() for key, blob in states.items()}
    return blake2b(json.dumps(found, sort_keys=True).encode()).hexdigest()


def canonical(value: Any) -> Any:
    match value:
        case float():
            return f"{value:.12g}"
        case bytes():
            return value.hex()
        case dict():
            return {str(key): canonical(each) for key, each in value.items()}
        case list() | tuple():
            return [canonical(each) for each in value]
        case _:
            return value


def cut(taken: Sequence[Taken], places: Iterable[int]) -> Iterator[Sequence[Taken]]:
    """Return the batches between these places."""
    for start, stop in pairwise([0, *sorted({place for place in places if 0 < place < len(taken)}), len(taken)]):
        yield taken[start:stop]


def test_no_processor_is_left_out(journal: Journal) -> None:
    everything = Settings(pipelines=get_args(PipelineName), challenger_policy=TRIAL.challenger)
    assembled = {processor.name for processor in assembly.pipeline(everything).processors}
    assert set(NAMES) == set(pipeline()) == set(declared()) == assembled
    assert [name for name in NAMES if not journal.taken[name] or not journal.said_by(name)] == []


def test_the_stream_has_everything_that_could_differ(journal: Journal) -> None:
    spoken = [each.topic for each in journal.said]
    assert spoken.count(MODELS) > 3
    assert spoken.count(ALERTS) > 10
    assert any(each.message.late for each in journal.said if each.topic.name == "examples")
    assert any(each.message.source == "model" for each in journal.said if each.topic.name == "scores")


def test_the_stream_has_all_that_can_become_of_a_request(journal: Journal) -> None:
    rankings = [each.message for each in journal.said if each.topic is RANKINGS]
    asked = [ranking for ranking in rankings if not ranking.shown and ranking.trigger == "request"]
    refused = {why for ranking in rankings for why in ranking.refused.values()}
    assert len(asked) == 250
    assert len(rankings) > 300
    assert {ranking.source for ranking in asked} >= {"rules", "model"}
    assert refused >= {"segment", "stock", "budget", "frequency_cap", "cool_down", "exclusive", "risk"}
    assert {ranking.trigger for ranking in rankings} == {"request", "event", "due", "risk"}
    assert sum(each.topic is RANKERS for each in journal.said) > 3
    happened = [each.message.kind for each in journal.said if each.topic is OFFER_EVENTS]
    assert happened.count("reversal") > 5
    freed = [ranking for ranking in rankings if ranking.trigger == "risk" and "@" in ranking.event_id]
    assert any(ranking.slots for ranking in freed)


def test_the_stream_has_a_trial_from_its_first_outcome_to_its_end(journal: Journal) -> None:
    stands = [each.message for each in journal.said if each.topic is ROLLOUTS]
    assert [each.state for each in stands] == ["running"] * (len(stands) - 1) + ["rolled_back"]
    assert min(stands[-1].champion_outcomes, stands[-1].challenger_outcomes) > 3


def test_the_stream_has_all_that_can_be_recommended(journal: Journal) -> None:
    told = [each.message for each in journal.said if each.topic is RECOMMENDATIONS and each.time >= item_world.BEGIN]
    assert {each.personal for each in told} == {True, False}
    assert any("@" in each.event_id for each in told)
    assert max(each.weights["collaborative"] for each in told) > 0
    demand = [each.message for each in journal.said if each.topic is ITEM_DEMANDS]
    assert any(each.rated for each in demand)
    assert any(each.unlisted for each in demand)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_what_the_engine_says(journal: Journal, name: str) -> None:
    assert straight(name, journal.taken[name]).said == journal.said_by(name)


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize("name", NAMES)
def test_the_size_of_batches_changes_nothing(journal: Journal, name: str, size: int) -> None:
    taken = journal.taken[name][: READY + 60 if name == "learning" else None]
    whole, pieces = straight(name, taken), restarted(name, cut(taken, range(0, len(taken), size)))
    assert pieces.said == whole.said
    assert state_hash(name, pieces.states) == state_hash(name, whole.states)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(places=st.lists(st.integers(1, FIRST - 1), max_size=6))
def test_a_task_restored_at_any_point_goes_on_identically(journal: Journal, name: str, places: list[int]) -> None:
    taken = journal.taken[name][:FIRST]
    whole, pieces = straight(name, taken), restarted(name, cut(taken, places))
    assert pieces.said == whole.said
    assert state_hash(name, pieces.states) == state_hash(name, whole.states)


@pytest.mark.parametrize("partitions", [2, 5])
def test_the_number_of_partitions_changes_nothing_of_the_first_hop(journal: Journal, partitions: int) -> None:
    taken = journal.taken["features"]
    parts = [[each for each in taken if crc32(each.record.key.encode()) % partitions == n] for n in range(partitions)]
    outcomes = [straight("features", part, partition=n) for n, part in enumerate(parts)]
    whole = straight("features", taken)
    assert sorted(each for outcome in outcomes for each in outcome.said) == sorted(whole.said)
    states = {key: state for outcome in outcomes for key, state in outcome.states.items()}
    assert state_hash("features", states) == state_hash("features", whole.states)
