"""The journal tells what was read, in which order and beside which tables; so replaying it says the same once more."""

from typing import Any

import pytest

from processors.offer_usage import OfferUsageCounter
from processors.offers import OfferRanker
from schemas.errors import BadMessage
from schemas.privacy import Tokeniser
from schemas.records import AnyRecord
from schemas.topics import DEAD_LETTERS, JOURNAL, OFFERS
from streams.inbound import Edge, Inbound
from streams.journal import JournalReplay, journal, replay_journal, runs
from streams.outbox import Outbound, origin_header
from streams.pipeline import Pipeline
from streams.sealing import Seal
from tests.builders import verified
from tests.contracts import pipelines as small
from tests.streams.arrivals import CORRECTIONS, VISITS, Visit, arrived
from tests.streams.memory_log import MemoryLog, entry, journalled

VISIT = small.VISITS.name


def edge() -> Edge:
    return Edge(Tokeniser({"1": b"key"}), Seal(b"key"))


def visits(*guests: str) -> list[small.Visit]:
    return [small.Visit(f"v{n}", n, guest) for n, guest in enumerate(guests)]


def replayed(log: MemoryLog) -> list[AnyRecord]:
    return list(replay_journal(small.PIPELINE, log, edge()))


def counts(said: list[AnyRecord]) -> list[tuple[str, str, int]]:
    return [(each.id, each.message.guest, each.message.visits) for each in said]


def log_of(topic: Any, *messages: Any) -> MemoryLog:
    log = MemoryLog()
    log.append(topic, messages)
    return log


def test_records_are_stepped_in_the_order_they_were_taken_in() -> None:
    log = log_of(small.VISITS, *visits("ann", "bob", "ann", "ann"))
    journalled(log, entry("counter/0", 1, (VISIT, 0, 2, 3)), entry("counter/0", 2, (VISIT, 0, 0, 0), (VISIT, 0, 1, 1)))
    assert counts(replayed(log)) == [
        ("v2>counter.0", "ann", 1),
        ("v3>counter.0", "ann", 2),
        ("v0>counter.0", "ann", 3),
        ("v1>counter.0", "bob", 1),
    ]


def test_entries_that_stand_in_another_order_are_followed_by_their_sequence() -> None:
    log = log_of(small.VISITS, *visits("ann", "ann"))
    journalled(log, entry("counter/0", 2, (VISIT, 0, 1, 1)), entry("counter/0", 1, (VISIT, 0, 0, 0)))
    assert [identity for identity, *_ in counts(replayed(log))] == ["v0>counter.0", "v1>counter.0"]


def test_what_was_produced_again_is_followed_once() -> None:
    log = log_of(small.VISITS, *visits("ann"))
    journalled(log, *[entry("counter/0", 1, (VISIT, 0, 0, 0))] * 3)
    assert len(replayed(log)) == 1


def test_of_one_sequence_the_newest_epoch_counts() -> None:
    """A store that lost its last commits gives their sequences out again."""
    log = journalled(MemoryLog(), entry("counter/0", 1), entry("counter/0", 1, epoch=9), entry("counter/0", 1, epoch=2))
    assert [kept.epoch for kept in journal(log)["counter", 0].values()] == [9]


def test_tasks_keep_apart_what_they_count() -> None:
    log = log_of(small.VISITS, *visits("ann"))
    log.append(small.VISITS, visits("ann"), partition=1)
    journalled(log, entry("counter/0", 1, (VISIT, 0, 0, 0)), entry("counter/1", 1, (VISIT, 1, 0, 0)))
    replay = JournalReplay(small.PIPELINE, log, edge())
    assert [each.message.visits for each in replay.records()] == [1, 1]
    assert {name: task.states for name, task in replay.tasks.items()} == {
        "counter/0": {"ann": small.Number(1)},
        "counter/1": {"ann": small.Number(1)},
    }


def test_a_table_stands_where_it_stood_when_a_batch_looked_things_up() -> None:
    log = log_of(small.SALES, *[small.Sale(f"s{n}", n, "tea", 1) for n in range(4)])
    log.append(small.PRICES, [small.Price("p0", 0, "tea", 100), small.Price("p1", 1, "tea", 200), None])
    at = [{small.PRICES.name: {0: position}} for position in range(2)]
    sale = small.SALES.name
    journalled(
        log,
        entry("till/0", 1, (sale, 0, 0, 0)),
        entry("till/0", 2, (sale, 0, 1, 1), tables=at[0]),
        entry("till/0", 3, (sale, 0, 2, 2), tables=at[0]),
        entry("till/0", 4, (sale, 0, 3, 3), tables=at[1]),
    )
    assert [each.message.cents for each in replayed(log)] == [None, 100, 100, 200]


def test_where_the_tables_of_the_workers_other_processors_stood_matters_to_none_but_them() -> None:
    log = log_of(small.SALES, small.Sale("s0", 0, "tea", 1))
    log.append(small.PRICES, [small.Price("p0", 0, "tea", 100)])
    stood = {OFFERS.name: {0: 7}, small.PRICES.name: {0: 0}}
    journalled(log, entry("till/0", 1, (small.SALES.name, 0, 0, 0), tables=stood))
    assert [each.message.cents for each in replayed(log)] == [100]


def test_a_bad_record_becomes_its_dead_letter() -> None:
    log = log_of(small.VISITS, b"{}", *visits("ann"))
    journalled(log, entry("counter/0", 1, (VISIT, 0, 0, 1)))
    assert [each.topic for each in replayed(log)] == [DEAD_LETTERS, small.COUNTS]


def test_a_tombstone_of_a_table_is_no_dead_letter() -> None:
    log = log_of(OFFERS, b"{}", None)
    journalled(log, entry("offer-usage/0", 1, (OFFERS.name, 0, 0, 1)))
    pipeline = Pipeline((OfferRanker(verified), OfferUsageCounter()))
    assert [each.message.reason for each in replay_journal(pipeline, log, edge())] == ["missing_field"]


def test_what_a_source_said_twice_is_stepped_once() -> None:
    line = small.Line("o1", 0, "tea", 0)
    log = MemoryLog()
    for _ in range(2):
        said = Outbound(small.LINES.name, "tea", small.LINES.encode(line), "o1>splitter.0", 0, 0, internal=True)
        log.append(small.LINES, [line], headers=[origin_header("splitter/0", 1, 0, said)])
    journalled(log, entry("stock/0", 1, (small.LINES.name, 0, 0, 1)))
    assert [each.message.ordered for each in replayed(log)] == [1]


def test_an_entry_of_another_pipeline_is_refused() -> None:
    with pytest.raises(KeyError, match="stranger"):
        replayed(journalled(MemoryLog(), entry("stranger/0", 1)))


def test_an_entry_that_is_no_entry_is_refused() -> None:
    log = MemoryLog()
    log.append(JOURNAL, [b"{}"])
    with pytest.raises(BadMessage):
        replayed(log)


def test_runs_tell_every_record_in_the_order_it_was_taken() -> None:
    taken: list[Inbound] = [
        *(arrived(VISITS, n, Visit("ann", n)) for n in (4, 5, 6)),
        arrived(CORRECTIONS, 0, Visit("ann", 1)),
        *(arrived(VISITS, n, Visit("ann", n)) for n in (7, 9)),
    ]
    assert runs(taken, 3) == (
        ("visits", 3, 4, 6),
        ("corrections", 3, 0, 0),
        ("visits", 3, 7, 7),
        ("visits", 3, 9, 9),
    )
