"""A table is the last message of each key, whatever else stands on its topic."""

from streams.kafka_log import Stored
from streams.table_contents import TableContents
from tests.contracts import pipelines as small

NAME = small.PRICES.name


def price(cents: int, item: str = "tea") -> bytes:
    return small.PRICES.encode(small.Price("p", 0, item, cents))


def stored(offset: int, value: bytes | None, key: bytes = b"tea") -> Stored:
    return Stored(offset, 0, key, value, ())


def test_the_last_message_of_a_key_stands() -> None:
    contents = TableContents([small.PRICES])
    for offset, value in enumerate([price(1), price(2)]):
        contents.apply(NAME, 0, stored(offset, value))
    contents.apply(NAME, 1, stored(7, price(5, "rum"), b"rum"))
    assert {key: found.cents for key, found in contents.tables[small.PRICES].items()} == {"tea": 2, "rum": 5}
    assert contents.positions == {NAME: {0: 1, 1: 7}}


def test_a_tombstone_removes_its_key() -> None:
    contents = TableContents([small.PRICES])
    for offset, value in enumerate([None, price(1), None]):
        contents.apply(NAME, 0, stored(offset, value))
    assert contents.tables[small.PRICES] == {}
    assert contents.positions == {NAME: {0: 2}}


def test_what_cannot_be_decoded_leaves_the_last_good_message_and_is_told() -> None:
    refused: list[str] = []
    contents = TableContents([small.PRICES], lambda key, why: refused.append(f"{key} {why.reason}"))
    for offset, value in enumerate([price(1), b"visit"]):
        contents.apply(NAME, 0, stored(offset, value))
    assert contents.tables[small.PRICES]["tea"].cents == 1
    assert contents.positions == {NAME: {0: 1}}
    assert refused == [f"{NAME}:tea invalid"]


def test_by_default_nobody_is_told() -> None:
    contents = TableContents([small.PRICES])
    contents.apply(NAME, 0, stored(0, b"{"))
    assert contents.tables[small.PRICES] == {}


def test_a_snapshot_stays_as_it_was() -> None:
    contents = TableContents([small.PRICES])
    contents.apply(NAME, 0, stored(3, price(1)))
    before = contents.snapshot()
    contents.apply(NAME, 0, stored(4, price(2)))
    assert before == {NAME: {0: 3}}
