"""Every engine says the same things with the same ids and keeps the same states, whatever they need of it."""

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from schemas.records import AnyRecord, AnyTopic, Record
from schemas.topics import DEAD_LETTERS, JOURNAL
from streams.publish import publish
from streams.replay import Replay
from streams.settings import Settings
from streams.task import Task
from tests.contracts import pipelines as small
from tests.live.workers import Stage, encoded

CUSTOMERS = [f"c{n}" for n in range(7)]
ITEMS = [f"i{n}" for n in range(11)]
END = 10_000
LIVE = ("live", "by its journal")
WORKER = ("tests.live.run_pipeline", small.__name__)


class Outcome(NamedTuple):
    """What came of the records: what was said on each topic, (id, bytes) by key in order, and every key's state."""

    said: dict[str, dict[str, list[tuple[str, bytes]]]]
    states: dict[str, dict[str, bytes]]


def prices() -> list[AnyRecord]:
    """Return the prices of all items but the first."""
    return numbered(small.PRICES, [small.Price(f"p{n}", 0, item, 100 + n) for n, item in enumerate(ITEMS) if n])


def events() -> list[AnyRecord]:
    """Return what happens, in order of time; at the end everybody puts something into their cart."""
    visits = [small.Visit(f"v{n}", 3 * n, CUSTOMERS[n * n % 7]) for n in range(400)]
    orders = [small.Order(f"o{n}", 5 * n, CUSTOMERS[n % 7], tuple(ITEMS[n % 5 : n % 5 + n % 4])) for n in range(300)]
    carts = [small.Cart(f"k{n}", 7 * n, CUSTOMERS[n * (n % 3) % 7]) for n in range(300)]
    sales = [small.Sale(f"s{n}", 2 * n, ITEMS[n % 11], 1 + n % 3) for n in range(300)]
    ends = [small.Cart(f"end-{owner}", END, owner) for owner in CUSTOMERS]
    topics = {small.VISITS: visits, small.ORDERS: orders, small.CARTS: [*carts, *ends], small.SALES: sales}
    found = [record for topic, messages in topics.items() for record in numbered(topic, messages)]
    return sorted(found, key=lambda record: record.time)


def numbered(topic: AnyTopic, messages: Sequence[Any]) -> list[AnyRecord]:
    return [Record(topic, message, message.event_id, 0, offset) for offset, message in enumerate(messages)]


def outcome_of(records: Iterable[AnyRecord], tasks: Mapping[str, Task]) -> Outcome:
    """Return what records were said and the states of the tasks by then, partitions put together."""
    said: dict[str, dict[str, list[tuple[str, bytes]]]] = defaultdict(lambda: defaultdict(list))
    for each in records:
        said[each.topic.name][each.key].append((each.id, each.topic.encode(each.message)))
    return Outcome(said, together(encoded(tasks)))


def together(states: Mapping[str, dict[str, bytes]]) -> dict[str, dict[str, bytes]]:
    """Return the states of each processor."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for task, of in states.items():
        found[task.partition("/")[0]] |= of
    return dict(found)


def in_process() -> Outcome:
    """Run the pipeline by replay."""
    engine = Replay(small.PIPELINE)
    return outcome_of((said for record in [*prices(), *events()] for said in engine.step(record)), engine.tasks)


@pytest.fixture(scope="module")
def lived(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a broker and a Redis in which a worker has run the pipeline."""
    redis = f"{redis_url.rpartition('/')[0]}/5"
    stage = Stage(kafka, redis, small.PIPELINE, tmp_path_factory.mktemp("engines"), {"batch": "50"})
    with stage.set_up((*small.TOPICS, JOURNAL, DEAD_LETTERS)):
        publish(prices(), stage.broker)
        with stage.worker(WORKER) as worker:
            publish(events(), stage.broker)
            worker.until(lambda: stage.count(small.COUNTS) == 400)
            worker.until(stage.caught_up)
            assert worker.terminate() == 0, worker.log
        yield stage


@pytest.fixture(scope="module", params=["in process", *(pytest.param(name, marks=pytest.mark.live) for name in LIVE)])
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Return what an engine makes of the records."""
    if request.param == "in process":
        return in_process()
    stage: Stage = request.getfixturevalue("lived")
    if request.param == "live":
        said = {topic.name: stage.by_key(topic) for topic in small.PIPELINE.outputs}
        return Outcome(said, together(stage.states()))
    with stage.journal(Settings()) as journal:
        return outcome_of(list(journal.records()), journal.tasks)


def messages(outcome: Outcome, topic: AnyTopic) -> dict[str, list[Any]]:
    """Return what was said on a topic, by key."""
    return {key: [topic.decode(value) for _, value in said] for key, said in outcome.said[topic.name].items()}


def test_a_keys_records_are_stepped_one_after_the_other(outcome: Outcome) -> None:
    visits = [record.message for record in events() if record.topic is small.VISITS]
    said = messages(outcome, small.COUNTS)
    assert set(said) == {visit.guest for visit in visits}
    for guest, counts in said.items():
        came = [visit for visit in visits if visit.guest == guest]
        assert [(c.event_id, c.at, c.visits) for c in counts] == [(v.event_id, v.at, n + 1) for n, v in enumerate(came)]


def test_what_is_said_again_under_another_key_comes_in_order(outcome: Outcome) -> None:
    orders = [record.message for record in events() if record.topic is small.ORDERS]
    expected: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    ordered: Tally[str] = Tally()
    for order in orders:
        for n, item in enumerate(order.items):
            expected[item].append((order.event_id, len(expected[item]) + 1, ordered[order.customer] + n))
        ordered[order.customer] += len(order.items)
    said = messages(outcome, small.LEVELS)
    assert {item: [(at.event_id, at.ordered, at.before) for at in levels] for item, levels in said.items()} == expected


def test_what_waits_for_an_event_time_is_stepped_before_later_records(outcome: Outcome) -> None:
    carts = [record.message for record in events() if record.topic is small.CARTS]
    expected: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for owner in CUSTOMERS:
        things, last = 0, 0
        for cart in (cart for cart in carts if cart.owner == owner):
            if things and last + small.PATIENCE < cart.at:
                expected[owner].append((last + small.PATIENCE, things))
                things = 0
            things, last = things + 1, cart.at
    said = messages(outcome, small.REMINDERS)
    assert {owner: [(one.at, one.things) for one in reminders] for owner, reminders in said.items()} == expected


def test_a_table_is_looked_up(outcome: Outcome) -> None:
    said = [amount for amounts in messages(outcome, small.AMOUNTS).values() for amount in amounts]
    sales = {record.id: record.message for record in events() if record.topic is small.SALES}
    cents = {item: None if n == 0 else 100 + n for n, item in enumerate(ITEMS)}
    assert len(said) == len(sales)
    for amount in said:
        sale, price = sales[amount.event_id], cents[amount.item]
        assert amount.cents == (None if price is None else price * sale.quantity)


def test_an_id_tells_the_cause_and_who_said_it(outcome: Outcome) -> None:
    levels = outcome.said[small.LEVELS.name]
    orders = [record.message for record in events() if record.topic is small.ORDERS]
    expected = {f"{order.event_id}>splitter.{n}>stock.0" for order in orders for n in range(len(order.items))}
    assert {identity for said in levels.values() for identity, _ in said} == expected


def test_every_engine_says_and_keeps_the_same_bytes(outcome: Outcome) -> None:
    assert outcome == in_process()


def test_what_is_forgotten_leaves_no_state(outcome: Outcome) -> None:
    assert "till" not in outcome.states
    assert set(outcome.states["clerk"]) == set(CUSTOMERS)
