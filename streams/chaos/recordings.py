"""The streams that drills publish: recorded once, and for some faults made worse."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from random import Random

from schemas.records import DAY, AnyRecord, Record
from schemas.topics import TRANSACTIONS
from streams.chaos.ledger import Letter, letters
from streams.mappings import Verdict, feedback_on
from streams.simulator import World, simulate

DAYS = 12
WORLD = World(days=DAYS, fraud_rate=0.05, label_delay_ms=3 * DAY)

DEADLY = "deadly-"
"""How the id of a payment begins that kills the worker of a drill which is about to step it."""

_VERDICTS: tuple[Verdict, ...] = ("fraud", "genuine")
Recording = Callable[[Sequence[AnyRecord], Random], list[Letter]]


def recorded(seed: int, events: int) -> list[AnyRecord]:
    """Return the stream of a seed: payments of some days, and the feedback on them, by event time."""
    customers = max(10, events // DAYS)
    return list(islice(simulate(replace(WORLD, seed=seed, customers=customers, terminals=customers // 2)), events))


def unchanged(records: Sequence[AnyRecord], chance: Random) -> list[Letter]:
    """Return the records as they are."""
    return letters(records)


def with_duplicates(records: Sequence[AnyRecord], chance: Random) -> list[Letter]:
    """Return the records with three in ten of them a second time, up to fifty places later."""
    placed = [(float(number), letter) for number, letter in enumerate(letters(records))]
    placed += [(at + chance.uniform(0, 50), letter) for at, letter in placed if chance.random() < 0.3]
    return [letter for _, letter in sorted(placed, key=lambda each: each[0])]


def out_of_order(records: Sequence[AnyRecord], chance: Random) -> list[Letter]:
    """Return the records up to two hundred places from where they belong, and one in fifty anywhere."""

    def place(number: int) -> float:
        return chance.uniform(0, len(records)) if chance.random() < 0.02 else number + chance.uniform(0, 200)

    placed = [(place(number), letter) for number, letter in enumerate(letters(records))]
    return [letter for _, letter in sorted(placed, key=lambda each: each[0])]


def with_late_labels(records: Sequence[AnyRecord], chance: Random) -> list[Letter]:
    """Return the records with verdicts on one payment in ten that come after its label window, or contradict others."""
    said = list(records)
    for payment in [each for each in records if each.topic is TRANSACTIONS and chance.random() < 0.1]:
        first, second = chance.sample(_VERDICTS, 2)
        for verdict, days in ((first, (1, 4)), (second, (4, 9))):
            late = feedback_on(payment, chance.randrange(days[0] * DAY, days[1] * DAY), "verdict", verdict)
            said.append(_under_its_own_id(late, verdict or ""))
    return letters(sorted(said, key=lambda each: each.time))


def _under_its_own_id(record: AnyRecord, name: str) -> AnyRecord:
    """Return one of several verdicts of one source on one payment, of which each needs an id of its own."""
    message = record.message.model_copy(update={"event_id": f"{record.id}:{name}"})
    return Record(record.topic, message, message.event_id)


def poisoned(records: Sequence[AnyRecord], chance: Random) -> list[Letter]:
    """Return the records with an unreadable message behind one in twenty."""
    found: list[Letter] = []
    for letter in letters(records):
        found.append(letter)
        if chance.random() < 0.05 and letter.value is not None:
            found.append(Letter(letter.topic, letter.key, _poison(letter.value, chance), None))
    return found


def deadly(records: Sequence[AnyRecord], chance: Random) -> list[Letter]:
    """Return the records with unreadable messages among them, and near the end a payment that kills who steps it.

    It is one more of some customer, who goes on paying: what comes behind it must not be lost.
    """
    found = poisoned(records, chance)
    places = range(int(0.75 * len(found)), int(0.9 * len(found)))
    at = chance.choice([n for n in places if found[n].topic == TRANSACTIONS.name and found[n].id is not None])
    payment = TRANSACTIONS.decode(found[at].value)
    killer = payment.model_copy(update={"event_id": f"{DEADLY}{payment.event_id}"})
    return [*found[:at], found[at]._replace(value=TRANSACTIONS.encode(killer), id=None), *found[at:]]


def _poison(good: bytes, chance: Random) -> bytes | None:
    at = chance.randrange(1, len(good))
    return chance.choice(
        (
            None,
            b"",
            b"null",
            b"[" * 100_000,
            good[:at],
            good + b"}",
            b"\xff\xfe" + good,
            b"[" + good + b"]",
            good.replace(b'"event_time"', b'"event_tame"'),
            chance.randbytes(at),
        )
    )
