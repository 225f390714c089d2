"""Small processors that each need one thing of an engine: state, a second hop, a time to wait for, or a table."""

from collections.abc import Iterable

import msgspec

from processors.base import Said, Tables
from schemas.records import AnyRecord, Due, Topic
from streams.pipeline import Pipeline

PATIENCE = 30
"""How long a cart waits for its owner, in milliseconds."""


class Visit(msgspec.Struct, frozen=True):
    """Somebody came."""

    event_id: str
    at: int
    guest: str
    tenant: str = "default"


class Count(msgspec.Struct, frozen=True):
    """How often a guest had come by then."""

    event_id: str
    at: int
    guest: str
    visits: int


class Order(msgspec.Struct, frozen=True):
    """A customer wants some of several items."""

    event_id: str
    at: int
    customer: str
    items: tuple[str, ...]
    tenant: str = "default"


class Line(msgspec.Struct, frozen=True):
    """One item of an order, and how many the customer had ordered before."""

    event_id: str
    at: int
    item: str
    before: int


class Level(msgspec.Struct, frozen=True):
    """How many of an item have been ordered by then."""

    event_id: str
    at: int
    item: str
    ordered: int
    before: int


class Cart(msgspec.Struct, frozen=True):
    """Somebody put something into a cart."""

    event_id: str
    at: int
    owner: str
    tenant: str = "default"


class Reminder(msgspec.Struct, frozen=True):
    """A cart was left alone with so many things in it."""

    event_id: str
    at: int
    owner: str
    things: int


class Price(msgspec.Struct, frozen=True):
    """What an item costs."""

    event_id: str
    at: int
    item: str
    cents: int
    tenant: str = "default"


class Sale(msgspec.Struct, frozen=True):
    """So many of an item were sold."""

    event_id: str
    at: int
    item: str
    quantity: int
    tenant: str = "default"


class Amount(msgspec.Struct, frozen=True):
    """What a sale came to; nothing for an item without a price."""

    event_id: str
    at: int
    item: str
    cents: int | None


VISITS: Topic[Visit] = Topic("engines.visits", Visit, lambda m: m.guest, lambda m: m.at, 3)
COUNTS: Topic[Count] = Topic("engines.counts", Count, lambda m: m.guest, lambda m: m.at, 3)
ORDERS: Topic[Order] = Topic("engines.orders", Order, lambda m: m.customer, lambda m: m.at, 1)
LINES: Topic[Line] = Topic("engines.lines", Line, lambda m: m.item, lambda m: m.at, 3, internal=True)
LEVELS: Topic[Level] = Topic("engines.levels", Level, lambda m: m.item, lambda m: m.at, 3)
CARTS: Topic[Cart] = Topic("engines.carts", Cart, lambda m: m.owner, lambda m: m.at, 3)
REMINDERS: Topic[Reminder] = Topic("engines.reminders", Reminder, lambda m: m.owner, lambda m: m.at, 3)
PRICES: Topic[Price] = Topic("engines.prices", Price, lambda m: m.item, lambda m: m.at, 2, compacted=True)
SALES: Topic[Sale] = Topic("engines.sales", Sale, lambda m: m.item, lambda m: m.at, 3)
AMOUNTS: Topic[Amount] = Topic("engines.amounts", Amount, lambda m: m.item, lambda m: m.at, 3)

TOPICS = (VISITS, COUNTS, ORDERS, LINES, LEVELS, CARTS, REMINDERS, PRICES, SALES, AMOUNTS)


class Number(msgspec.Struct, frozen=True):
    """A number that is kept of a key."""

    of: int


class Waiting(msgspec.Struct, frozen=True):
    """What a cart holds, and until when its owner may leave it alone."""

    things: int
    due: int | None


class Counter:
    """Counts a guest's visits."""

    name = "counter"
    inputs = (VISITS,)
    outputs = (COUNTS,)
    tables = ()
    state = Number

    def step(self, state: Number | None, record: AnyRecord, tables: Tables) -> tuple[Number, Iterable[Said]]:
        """Count one visit more."""
        visits, message = (state.of if state else 0) + 1, record.message
        return Number(visits), (Said(COUNTS, Count(message.event_id, message.at, message.guest, visits)),)


class Splitter:
    """Splits a customer's orders into lines, which go to their items."""

    name = "splitter"
    inputs = (ORDERS,)
    outputs = (LINES,)
    tables = ()
    state = Number

    def step(self, state: Number | None, record: AnyRecord, tables: Tables) -> tuple[Number, Iterable[Said]]:
        """Say each line of an order."""
        before, message = state.of if state else 0, record.message
        lines = [Line(message.event_id, message.at, item, before + n) for n, item in enumerate(message.items)]
        return Number(before + len(lines)), [Said(LINES, line) for line in lines]


class Stock:
    """Counts what was ordered of each item."""

    name = "stock"
    inputs = (LINES,)
    outputs = (LEVELS,)
    tables = ()
    state = Number

    def step(self, state: Number | None, record: AnyRecord, tables: Tables) -> tuple[Number, Iterable[Said]]:
        """Count one item more."""
        ordered, line = (state.of if state else 0) + 1, record.message
        return Number(ordered), (Said(LEVELS, Level(line.event_id, line.at, line.item, ordered, line.before)),)


class Clerk:
    """Reminds owners of the carts they left alone, and empties them."""

    name = "clerk"
    inputs = (CARTS,)
    outputs = (REMINDERS,)
    tables = ()
    state = Waiting

    def step(self, state: Waiting | None, record: AnyRecord, tables: Tables) -> tuple[Waiting | None, Iterable[Said]]:
        """Count a thing, or remind."""
        message, things = record.message, state.things if state else 0
        if isinstance(message, Due):
            return None, (Said(REMINDERS, Reminder(f"{message.key}@{message.at}", message.at, message.key, things)),)
        return Waiting(things + 1, message.at + PATIENCE), ()


class Till:
    """Works out what a sale comes to."""

    name = "till"
    inputs = (SALES,)
    outputs = (AMOUNTS,)
    tables = (PRICES,)
    state = Number

    def step(self, state: Number | None, record: AnyRecord, tables: Tables) -> tuple[None, Iterable[Said]]:
        """Look the price up."""
        sale, price = record.message, tables[PRICES].get(record.message.item)
        cents = None if price is None else price.cents * sale.quantity
        return None, (Said(AMOUNTS, Amount(sale.event_id, sale.at, sale.item, cents)),)


PIPELINE = Pipeline((Counter(), Splitter(), Stock(), Clerk(), Till()))
