"""A seeded world of customers, cards and terminals, whose payments, frauds and late labels come as a stream."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from schemas.errors import BadMessage
from schemas.records import DAY, AnyRecord, Record
from schemas.topics import TRANSACTIONS
from streams.fraud_patterns import Compromised, Crime, Floats, Ints, Pattern, Payments, Places
from streams.mappings import Kind, Verdict, encoded, feedback_on, with_feedback

Flags = NDArray[np.bool_]
HOUR = 3_600_000
_CITIES = (
    ("DE", 52.52, 13.40),
    ("DE", 48.14, 11.58),
    ("FR", 48.86, 2.35),
    ("ES", 40.42, -3.70),
    ("IT", 41.90, 12.50),
    ("NL", 52.37, 4.90),
    ("PL", 52.23, 21.01),
    ("PT", 38.72, -9.14),
)
_MCC = ("5411", "5812", "5541", "5912", "5732", "5651", "4111", "5942")
CATEGORIES = ("groceries", "restaurants", "fuel", "pharmacy", "electronics", "clothing", "transport", "books")
"""What is sold under each merchant category code, in the order of the codes: payments tell it beside the code."""

_MCC_AMOUNT = np.array([1.0, 0.7, 1.1, 0.5, 3.0, 1.6, 0.3, 0.6])
_FAVOURITES = 24

STEADY_MIX: Floats = np.array([0.0, 0.20, 0.35, 0.20, 0.15, 0.10])
"""Share of each Pattern among the frauds of a world without drift; the first, GENUINE, has none."""

DRIFTING_MIX: Floats = np.array(
    [
        [0.0, 0.30, 0.40, 0.30, 0.00, 0.00],
        [0.0, 0.00, 0.15, 0.15, 0.35, 0.35],
        [0.0, 0.30, 0.10, 0.00, 0.20, 0.40],
    ]
)
"""The same for each third of a world with drift: large amounts vanish and return, new patterns take over."""


@dataclass(frozen=True, slots=True)
class World:
    """What is simulated. The same world gives the same stream, byte for byte.

    `fraud_rate` is the share of payments that are fraud, about two payments a customer and day. With `drift` the
    patterns of fraud change at each third of the days, amounts rise by half, and a quarter of the customers and
    terminals appear only as time goes on. Frauds are charged back `label_delay_ms` after them, but for a share of
    `early_verdicts`. A share of `duplicates` is sent twice.
    """

    seed: int = 1
    customers: int = 2_000
    terminals: int = 3_000
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    days: int = 90
    fraud_rate: float = 0.01
    drift: bool = False
    label_delay_ms: int = 7 * DAY
    early_verdicts: float = 0.1
    duplicates: float = 0.0
    currency: str = "EUR"


def simulate(world: World) -> Iterator[AnyRecord]:
    """Yield transactions and the feedback on them by event time; offsets count the records of each topic."""
    yield from with_feedback(_judged(world))


def mix(world: World, day: int) -> Floats:
    """Return the share of each Pattern among the frauds of a day."""
    return DRIFTING_MIX[min(3 * day // world.days, 2)] if world.drift else STEADY_MIX


def days(world: World) -> Iterator[Payments]:
    """Yield each day's payments in order of time, with the pattern behind each."""
    people = Population.born(world)
    places = Places(np.flatnonzero(people.online), people.terminal_city, people.customer_city, people.usual)
    compromised = Compromised(np.zeros(world.terminals, np.int64), np.zeros(world.customers, np.int64))
    for day in range(world.days):
        chance = default_rng((world.seed, 1 + day))
        genuine = people.payments(world, day, chance)
        expected = mix(world, day) * world.fraud_rate * len(genuine)
        payments = Crime(day, expected, places, chance).commit(genuine, compromised)
        inflation = 1 + (0.5 * day / world.days if world.drift else 0)
        payments = replace(payments, amount=_cents(payments.amount * inflation))
        yield payments.at(np.argsort(payments.time, kind="stable"))


def _cents(amount: Floats) -> Floats:
    return np.rint(np.maximum(amount * 100, 1.0)).astype(np.float64) / 100


@dataclass(frozen=True, slots=True)
class Population:
    """Customers and terminals as columns, one entry each."""

    customer_city: Ints
    usual: Floats
    rate: Floats
    since: Ints
    favourites: Ints
    terminal_city: Ints
    latitude: Floats
    longitude: Floats
    mcc: Ints
    online: Flags
    opened: Ints

    @classmethod
    def born(cls, world: World) -> "Population":
        """Return the population of a world."""
        chance = default_rng((world.seed, 0))
        customers, terminals = world.customers, world.terminals
        city = chance.integers(0, len(_CITIES), terminals)
        home = chance.integers(0, len(_CITIES), customers)
        online = chance.random(terminals) < 0.2
        online[0] = True
        opened = _arrivals(world, terminals, chance)
        opened[0] = 0
        return cls(
            customer_city=home,
            usual=chance.lognormal(3.5, 0.6, customers),
            rate=chance.gamma(4.0, 0.5, customers),
            since=_arrivals(world, customers, chance),
            favourites=_favourites(home, city, (online, opened == 0), chance),
            terminal_city=city,
            latitude=np.round([_CITIES[c][1] for c in city] + chance.normal(0, 0.05, terminals), 5),
            longitude=np.round([_CITIES[c][2] for c in city] + chance.normal(0, 0.05, terminals), 5),
            mcc=chance.integers(0, len(_MCC), terminals),
            online=online,
            opened=opened,
        )

    def payments(self, world: World, day: int, chance: Generator) -> Payments:
        """Return a day's genuine payments, in no order."""
        active = np.where(self.since <= day, self.rate, 0.0)
        customer = np.repeat(np.arange(world.customers), chance.poisson(active))
        terminal = self.favourites[customer, chance.integers(0, _FAVOURITES, len(customer))]
        terminal = np.where(self.opened[terminal] <= day, terminal, self.favourites[customer, 0])
        amount = self.usual[customer] * _MCC_AMOUNT[self.mcc[terminal]] * chance.lognormal(0, 0.35, len(customer))
        time = np.clip(chance.normal(13.5 * HOUR, 4.5 * HOUR, len(customer)), 0, DAY - 1).astype(np.int64)
        return Payments(time, customer, terminal, amount, np.zeros_like(customer), np.zeros_like(customer))


def _arrivals(world: World, number: int, chance: Generator) -> Ints:
    """Return the day each appears: the first, or with drift for a quarter of them any later one."""
    later = chance.random(number) < (0.25 if world.drift else 0.0)
    return np.where(later, chance.integers(0, world.days, number), 0)


def _favourites(home: Ints, city: Ints, online_and_open: tuple[Flags, Flags], chance: Generator) -> Ints:
    """Return the terminals each customer pays at: near home or online. The first is open from the first day."""
    online, open_at_first = online_and_open
    chosen = np.empty((len(home), _FAVOURITES), np.int64)
    for place in range(len(_CITIES)):
        near = np.flatnonzero((city == place) & ~online)
        living = np.flatnonzero(home == place)
        shops = chance.choice(np.flatnonzero(online), (len(living), _FAVOURITES))
        at_home = (chance.random(shops.shape) < 0.8) & (len(near) > 0)
        chosen[living] = np.where(at_home, chance.choice(near if len(near) else [0], shops.shape), shops)
        chosen[living, 0] = chance.choice(np.flatnonzero(open_at_first & ((city == place) | online)), len(living))
    return chosen


def _judged(world: World) -> Iterator[tuple[AnyRecord, AnyRecord | None]]:
    """Yield each transaction with the feedback that will come on it."""
    names = _Names.of(Population.born(world))
    start_ms = round(world.start.timestamp() * 1000)
    offset = first = 0
    for day, payments in enumerate(days(world)):
        chance = default_rng((world.seed, 1_000_000 + day))
        rows = _repeated(np.arange(len(payments)), world.duplicates, chance)
        judgements = _judgements(world, payments, chance)
        columns = names.columns(payments.at(rows), rows + first, start_ms + day * DAY)
        columns["currency"] = [world.currency] * len(rows)
        for row, message in zip(rows.tolist(), TRANSACTIONS.decode_batch(encoded(columns)), strict=True):
            if isinstance(message, BadMessage):
                raise message
            record = Record(TRANSACTIONS, message, message.event_id, 0, offset)
            judgement = judgements.pop(row, None)
            yield record, judgement and feedback_on(record, *judgement)
            offset += 1
        first += len(payments)


def _judgements(world: World, payments: Payments, chance: Generator) -> dict[int, tuple[int, Kind, Verdict]]:
    """Return what is said later about some payments: when (milliseconds after it), by what kind and with what verdict.

    Frauds are charged back; of a few an analyst says so early, and of about as many genuine payments.
    """
    fraud = payments.pattern != Pattern.GENUINE
    share = np.where(fraud, 1.0, world.fraud_rate) * world.early_verdicts
    early = chance.random(len(payments)) < share
    soon = min(HOUR, world.label_delay_ms)
    waits = chance.integers(soon, max(world.label_delay_ms // 2, soon) + 1, len(payments)).tolist()
    said: dict[int, tuple[int, Kind, Verdict]] = {}
    for row in np.flatnonzero(fraud & ~early).tolist():
        said[row] = (world.label_delay_ms, "chargeback", None)
    for row in np.flatnonzero(early).tolist():
        said[row] = (waits[row], "verdict", "fraud" if fraud[row] else "genuine")
    return said


def _repeated(rows: Ints, share: float, chance: Generator) -> Ints:
    """Return the rows with a share of them a second time, up to fifty places later."""
    again = rows[chance.random(len(rows)) < share]
    places = np.minimum(again + chance.integers(1, 50, len(again)), len(rows))
    return np.insert(rows, places, again)


@dataclass(frozen=True, slots=True)
class _Names:
    """The text of every column that has one, by index."""

    users: NDArray[np.object_]
    cards: NDArray[np.object_]
    devices: NDArray[np.object_]
    terminals: dict[str, NDArray[np.object_]]

    @classmethod
    def of(cls, people: Population) -> "_Names":
        """Return the names of a population. Every third terminal in a row belongs to one merchant."""
        customers, terminals = range(len(people.usual)), range(len(people.mcc))
        return cls(
            users=_texts(f"c{i:06d}" for i in customers),
            cards=_texts(f"4000{i:012d}" for i in customers),
            devices=_texts(f"phone-{i:06d}" for i in customers),
            terminals={
                "terminal": _texts(f"t{i:06d}" for i in terminals),
                "merchant": _texts(f"m{i // 3:06d}" for i in terminals),
                "mcc": _texts(_MCC[i] for i in people.mcc),
                "category": _texts(CATEGORIES[i] for i in people.mcc),
                "country": _texts(_CITIES[i][0] for i in people.terminal_city),
                "channel": _texts("online" if online else "pos" for online in people.online),
                "latitude": people.latitude.astype(object),
                "longitude": people.longitude.astype(object),
            },
        )

    def columns(self, payments: Payments, numbers: Ints, midnight_ms: int) -> dict[str, Sequence[Any]]:
        """Return the fields of the payments' transactions."""
        own = self.devices[payments.customer]
        strange = np.array([f"phone-x{number:06d}" for number in payments.device.tolist()], dtype=object)
        return {
            "event_id": [f"tx-{number:09d}" for number in numbers.tolist()],
            "event_time": (payments.time + midnight_ms).tolist(),
            "user": self.users[payments.customer].tolist(),
            "card": self.cards[payments.customer].tolist(),
            "device": np.where(payments.device == 0, own, strange).tolist(),
            "amount": payments.amount.tolist(),
            **{name: texts[payments.terminal].tolist() for name, texts in self.terminals.items()},
        }


def _texts(values: Iterable[str]) -> NDArray[np.object_]:
    return np.array(list(values), dtype=object)
