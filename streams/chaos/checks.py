"""The promises, each held against the evidence of a drill. Pure: evidence in, findings out."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from schemas.topics import DEAD_LETTERS, EXAMPLES, SCORES, TRANSACTIONS
from streams.chaos.evidence import Evidence, Place, Said, States
from streams.pipeline import Pipeline

SHOWN = 3


@dataclass(frozen=True)
class Replayed:
    """What a clean replay in the journalled order says, bytes by id, and the states it ends in."""

    said: Mapping[str, bytes]
    states: States


@dataclass
class Findings:
    """What does not hold: what was `lost`, what took effect twice, which states or sayings the replay has otherwise,
    and `broken`: any other promise, by its name."""

    events: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    mismatched: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def told(self) -> Iterator[str]:
        """Yield a line for everything that does not hold."""
        for what, found in (("lost", self.lost), ("doubled", self.doubled), ("differs", self.mismatched)):
            if found:
                yield f"{what}: {', '.join(sorted(found)[:SHOWN])}{' …' if len(found) > SHOWN else ''}"
        yield from self.broken


def check(pipeline: Pipeline, evidence: Evidence, replayed: Replayed) -> Findings:
    """Return all that does not hold of I1 to I6 and I8."""
    letters = {each.id.partition(">")[0] for each in evidence.said if each.topic == DEAD_LETTERS.name}
    findings = Findings(events=len(evidence.writes))
    findings.lost |= unanswered(evidence) | untaken(pipeline, evidence) | unsaid(evidence.said, replayed.said)
    findings.doubled |= taken_twice(evidence) | said_otherwise(evidence.said) | scored_twice(evidence.said)
    findings.doubled |= taught_twice(evidence.said)
    findings.mismatched |= differing_states(evidence.states, replayed.states)
    findings.mismatched |= differing_sayings(evidence.said, replayed.said)
    findings.broken += [*ahead_of_the_checkpoint(evidence), *lagging(evidence), *out_of_order(evidence.said)]
    findings.broken += invented(evidence, letters)
    return findings


def unanswered(evidence: Evidence) -> set[str]:
    """I1: the acknowledged payments without a score, and the unreadable messages without a dead letter."""
    scored = {event_of(each.id) for each in evidence.said if each.topic == SCORES.name}
    letters = {event_of(each.id) for each in evidence.said if each.topic == DEAD_LETTERS.name}
    found = set()
    for write in evidence.writes:
        place = f"{write.topic}/{write.partition}/{write.offset}"
        if write.id is None and place not in letters:
            found.add(place)
        if write.id is not None and write.topic == TRANSACTIONS.name and write.id not in scored:
            found.add(write.id)
    return found


def untaken(pipeline: Pipeline, evidence: Evidence) -> set[str]:
    """I1: the acknowledged writes that some processor which reads their topic has never taken."""
    readers = {topic.name: [p.name for p in pipeline.readers(topic)] for topic in pipeline.sources}
    taken = {(task, *place) for task, place in takings(evidence)}
    return {
        f"{write.topic}/{write.partition}/{write.offset} by {reader}"
        for write in evidence.writes
        for reader in readers[write.topic]
        if (reader, write.topic, write.partition, write.offset) not in taken
    }


def takings(evidence: Evidence) -> Iterator[tuple[str, tuple[str, int, int]]]:
    """Yield the processor and place (topic, partition, offset) of every record that the journal says was taken."""
    for (processor, _), entries in evidence.journal.items():
        for entry in entries.values():
            for topic, partition, first, last in entry.runs:
                yield from ((processor, (topic, partition, offset)) for offset in range(first, last + 1))


def unsaid(said: Sequence[Said], expected: Mapping[str, bytes]) -> set[str]:
    """I1: what the replay says and no topic has, or has where its readers take it for a repeat."""
    return set(expected) - {each.id for each in heard(said)}


def heard(said: Sequence[Said]) -> Iterator[Said]:
    """Yield what a reader hears: of each task and partition, what follows in place on what was heard before."""
    last: dict[tuple[str, int, str], tuple[int, int]] = {}
    for each in said:
        source, place = (each.topic, each.partition, each.task), (each.sequence, each.number)
        if place > last.get(source, (-1, -1)):
            last[source] = place
            yield each


def taken_twice(evidence: Evidence) -> set[str]:
    """I2: the records that one processor has taken twice, by the journal."""
    counted = Counter(takings(evidence))
    return {f"{'/'.join(map(str, place))} by {task}" for (task, place), count in counted.items() if count > 1}


def said_otherwise(said: Sequence[Said]) -> set[str]:
    """I2: the ids under which two different things were said."""
    first: dict[str, bytes] = {}
    return {each.id for each in said if first.setdefault(each.id, each.value) != each.value}


def scored_twice(said: Sequence[Said]) -> set[str]:
    """I2: the events with more than one score, repeats of the same one aside."""
    counted = Counter(event_of(identity) for identity in {each.id for each in said if each.topic == SCORES.name})
    return {event for event, count in counted.items() if count > 1}


def taught_twice(said: Sequence[Said]) -> set[str]:
    """I8: the events of which one model was taught the same class twice."""
    lessons: Counter[tuple[str, str, bool]] = Counter()
    for value in {each.id: each.value for each in said if each.topic == EXAMPLES.name}.values():
        lesson = EXAMPLES.decode(value)
        lessons[lesson.event_id, lesson.model, lesson.label] += 1
    return {f"{event} to {model}" for (event, model, _), count in lessons.items() if count > 1}


def differing_states(found: States, expected: States) -> set[str]:
    """I4: the keys whose state is not the replay's, or is there in one only."""
    if state_hash(found) == state_hash(expected):
        return set()
    return {
        f"{task}:{key}"
        for task in {*found, *expected}
        for key in {*found.get(task, {}), *expected.get(task, {})}
        if found.get(task, {}).get(key) != expected.get(task, {}).get(key)
    }


def state_hash(states: States) -> str:
    """Return the canonical hash of all keyed states: tasks and keys in order, tasks without states left out."""
    digest = blake2b(digest_size=16)
    for task in sorted(task for task, kept in states.items() if kept):
        for key, state in sorted(states[task].items()):
            for part in (task.encode(), key.encode(), state):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def differing_sayings(said: Sequence[Said], expected: Mapping[str, bytes]) -> set[str]:
    """I4: what was said otherwise than by the replay, or not by the replay at all."""
    return {each.id for each in said if expected.get(each.id) != each.value}


def ahead_of_the_checkpoint(evidence: Evidence) -> list[str]:
    """I3: the partitions of which Kafka believes more than some reader's checkpoint has."""
    return [
        f"I3: Kafka has {evidence.committed[place]} of {place[0]}/{place[1]} committed, {task} only {offset} taken"
        for task, offsets in evidence.checkpoints.items()
        for place, offset in offsets.items()
        if evidence.committed.get(place, 0) > offset
    ]


def lagging(evidence: Evidence) -> list[str]:
    """I3: the partitions that are not read to their end, by Kafka's offsets."""
    behind: dict[Place, int] = {
        place: end - evidence.committed.get(place, 0)
        for place, end in evidence.ends.items()
        if end != evidence.committed.get(place, 0)
    }
    return [f"I3: {sum(behind.values())} records of lag left in {len(behind)} partitions"] if behind else []


def out_of_order(said: Sequence[Said]) -> list[str]:
    """I5: the tasks of which a partition has a new record behind a later one."""
    known: set[tuple[str, int, str]] = set()
    last: dict[tuple[str, int, str], tuple[int, int]] = {}
    found: dict[str, None] = {}
    for each in said:
        source, place = (each.topic, each.partition, each.task), (each.sequence, each.number)
        new = (each.topic, each.partition, each.id) not in known
        known.add((each.topic, each.partition, each.id))
        if new and place < last.get(source, place):
            found[f"I5: {each.task} said {each.id} on {each.topic}/{each.partition} behind later records"] = None
        last[source] = max(place, last.get(source, place))
    return list(found)


def invented(evidence: Evidence, letters: Collection[str]) -> list[str]:
    """I6: scores and dead letters of what nobody has acknowledged."""
    events = {write.id for write in evidence.writes}
    places = {f"{write.topic}/{write.partition}/{write.offset}" for write in evidence.writes if write.id is None}
    scores = {event_of(each.id) for each in evidence.said if each.topic == SCORES.name} - events
    found = [f"I6: {len(scores)} scores of payments that nobody acknowledged"] if scores else []
    if astray := set(letters) - places:
        found.append(f"I6: {len(astray)} dead letters of good messages")
    return found


def event_of(identity: str) -> str:
    """Return the event that a record's id began with.

    >>> event_of("tx-1>features.0>fraud.0")
    'tx-1'
    """
    return identity.partition(">")[0]
