"""Replaying decisions: the state that a score or a ranking was made from is built again, and the decision with it.

The journal tells in which order each task took its records, and beside which tables. Of these only those of the keys
that a decision was made from are stepped: the customer's own, and their terminal's. No processor that decides waits for
an event time, so what others did in between changes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from processors.customers import CustomerFeatures
from processors.fraud import FraudScorer
from processors.offers import OfferRanker
from schemas.keys import keyed
from schemas.offer_results import Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import AnyRecord
from schemas.results import CardFeatures, FraudScore
from schemas.topics import CARD_FEATURES, OFFER_REQUESTS, SCORES
from streams.decision_log import KeyedLog, Unreplayable, followed
from streams.explanation import Difference, differing
from streams.inbound import Edge, Raw
from streams.journal import NOTHING, Begin, Entries, JournalReplay, Log, journal
from streams.kafka_log import Stored
from streams.partitioning import partition_of
from streams.pipeline import Pipeline

FEATURES, FRAUD, OFFERS = CustomerFeatures.name, FraudScorer.name, OfferRanker.name

Place = tuple[str, int, int]
"""Where an input was read: topic, partition, offset."""

Snapshots = Callable[[str, Collection[str]], Iterable[Begin]]
"""Returns how a task stood at dated moments, the newest first, with the states of some keys."""

T = TypeVar("T")


class Replayed(NamedTuple):
    """A decision as it is stored and as it comes out again, and the fields that are not the same to the last bit."""

    stored: FraudScore | Ranking
    computed: FraudScore | Ranking
    differing: tuple[Difference, ...]


def no_snapshots(_task: str, _keys: Collection[str]) -> Iterable[Begin]:
    """Know of nothing but the log's start."""
    return ()


@dataclass(frozen=True)
class DecisionReplay:
    """Makes decisions again by the pipeline that made them, from the newest of `snapshots` before them or from nothing.

    `kept` has entries of tables by topic, for what compaction has dropped. `tell` hears what is being done. Features of
    customers are made anew from what apps published, and put in the place of those in the log; what other customers did
    at a terminal is taken from the log as it stands there.
    """

    pipeline: Pipeline
    log: Log
    edge: Edge
    snapshots: Snapshots = no_snapshots
    kept: Mapping[str, Collection[Stored]] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda _: None

    def scores(self, stored: Sequence[FraudScore]) -> Iterator[Replayed]:
        """Yield each score and what it is now, in any order. Raises Unreplayable when one cannot be made again."""
        if nowhere := [score.event_id for score in stored if score.input_offset < 0]:
            raise Unreplayable(f"{nowhere[0]} was scored from a file by `headrace replay`: no log has it")
        payments: dict[Place, CardFeatures] = {}
        said_at: dict[str, int] = {}
        for partition, scores in _grouped(stored, lambda score: score.input_partition):
            found, commit = self._payments(partition, scores)
            payments |= found
            said_at[f"{FEATURES}/{partition}>{CARD_FEATURES.name}"] = commit
        count = len(self.log.ends(CARD_FEATURES.name))
        # By the terminal that is made anew: the stored one may have been changed.
        for partition, scores in _grouped(
            stored, lambda score: partition_of(_terminal(payments[_place(score)]), count)
        ):
            yield from self._scores(partition, scores, payments, said_at)

    def ranking(self, stored: Ranking) -> Replayed:
        """Return a ranking and what it is now. Raises Unreplayable when it cannot be made again."""
        key = keyed(stored.tenant, stored.user)
        partition = partition_of(key, len(self.log.ends(OFFER_REQUESTS.name)))
        task, entries = f"{OFFERS}/{partition}", self._entries(OFFERS, partition)
        for begin in (*self.snapshots(task, [key]), NOTHING):
            for said in self._said(OFFERS, partition, self._keyed([key]), entries, begin):
                if said.topic is RANKINGS and _about(said.message) == _about(stored):
                    return Replayed(stored, said.message, differing(RANKINGS, stored, said.message))
        raise Unreplayable(f"no batch in the journal of {task} made ranking {stored.event_id}")

    def _payments(self, partition: int, scores: Sequence[FraudScore]) -> tuple[dict[Place, CardFeatures], int]:
        """Return the payments of scores with their customers' features, and the first commit that took one of them."""
        wanted, task = {_place(score): score.event_id for score in scores}, f"{FEATURES}/{partition}"
        entries, keys = self._entries(FEATURES, partition), {keyed(score.tenant, score.user) for score in scores}
        commit = _commit_of(task, entries, min(wanted))
        begin = self._begin(task, keys, lambda begin: begin.sequence < commit)
        log = self._keyed(keys, whole=self._keyed_otherwise(scores[0]))
        found: dict[Place, CardFeatures] = {}
        for said in self._said(FEATURES, partition, log, entries, begin):
            if said.topic is CARD_FEATURES and (place := _place(said.message)) in wanted:
                found[place] = said.message
                if len(found) == len(wanted):
                    break
        _refuse_missing(wanted, found, task)
        return found, commit

    def _scores(
        self,
        partition: int,
        scores: Sequence[FraudScore],
        payments: Mapping[Place, CardFeatures],
        said_at: Mapping[str, int],
    ) -> Iterator[Replayed]:
        wanted, task = {_place(score): score for score in scores}, f"{FRAUD}/{partition}"
        keys = {_terminal(payments[place]) for place in wanted}
        begin = self._begin(task, keys, lambda begin: _precedes(begin, said_at))
        log = self._keyed(keys, {CARD_FEATURES.name: partial(_remade, payments)})
        found: set[Place] = set()
        for said in self._said(FRAUD, partition, log, self._entries(FRAUD, partition), begin):
            if said.topic is SCORES and (place := _place(said.message)) in wanted:
                found.add(place)
                yield Replayed(wanted[place], said.message, differing(SCORES, wanted[place], said.message))
                if len(found) == len(wanted):
                    return
        _refuse_missing({place: score.event_id for place, score in wanted.items()}, found, task)

    def _begin(self, task: str, keys: Collection[str], precedes: Callable[[Begin], bool]) -> Begin:
        return next(filter(precedes, self.snapshots(task, keys)), NOTHING)

    def _entries(self, name: str, partition: int) -> Entries:
        self.tell(f"reading the journal of {name}/{partition}")
        return journal(self.log, [f"{name}/{partition}"]).get((name, partition), {})

    def _keyed(
        self,
        keys: Iterable[str],
        rewritten: Mapping[str, Callable[[Raw], Raw]] | None = None,
        whole: Collection[str] = (),
    ) -> KeyedLog:
        encoded = frozenset(key.encode() for key in keys)
        return KeyedLog(self.log, encoded, self.pipeline.tables, whole, rewritten or {}, self.kept)

    def _keyed_otherwise(self, score: FraudScore) -> Collection[str]:
        """Return the topic of a payment whose app did not give its user as the record's key."""
        topic, partition, offset = _place(score)
        keys = [raw.key for raw in self.log.read(topic, partition, offset, offset)]
        return () if keys == [keyed(score.tenant, score.user).encode()] else (topic,)

    def _said(self, name: str, partition: int, log: KeyedLog, entries: Entries, begin: Begin) -> Iterator[AnyRecord]:
        self.tell(f"stepping {name}/{partition}")
        following = followed(f"{name}/{partition}", entries, begin.sequence)
        return JournalReplay(self.pipeline, log, self.edge).task(name, partition, following, begin)


def _grouped(items: Iterable[T], key: Callable[[T], int]) -> list[tuple[int, list[T]]]:
    groups: dict[int, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return sorted(groups.items())


def _commit_of(task: str, entries: Entries, place: Place) -> int:
    topic, at, offset = place
    for sequence, entry in sorted(entries.items()):
        for name, partition, first, last in entry.runs:
            if (name, partition) == (topic, at) and first <= offset <= last:
                return sequence
    raise Unreplayable(
        f"the journal has no batch of {task} that took {topic}/{at}, offset {offset}: its retention has passed, or it "
        "is the journal of another cluster (HEADRACE_KAFKA)"
    )


def _precedes(begin: Begin, said_at: Mapping[str, int]) -> bool:
    """Return whether a task had heard nothing yet of what its sources said in these commits and later."""
    return all(begin.heard.get(source, (-1, -1))[0] < commit for source, commit in said_at.items())


def _remade(payments: Mapping[Place, CardFeatures], raw: Raw) -> Raw:
    """Return a payment's record with the features that were made anew, where they were."""
    made = payments.get(_place(CARD_FEATURES.decode(raw.value)))
    return raw if made is None else Stored(raw.offset, raw.timestamp, raw.key, CARD_FEATURES.encode(made), raw.headers)


def _refuse_missing(wanted: Mapping[Place, str], found: Collection[Place], task: str) -> None:
    missing = [event for place, event in wanted.items() if place not in found]
    if missing:
        raise Unreplayable(f"{task} says nothing of {missing[0]} when its journal is stepped again")


def _place(message: CardFeatures | FraudScore) -> Place:
    return message.input_topic, message.input_partition, message.input_offset


def _terminal(payment: CardFeatures) -> str:
    return keyed(payment.tenant, payment.terminal)


def _about(ranking: Ranking) -> tuple[str, str]:
    return ranking.tenant, ranking.event_id
