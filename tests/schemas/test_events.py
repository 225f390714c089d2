"""An event's time in milliseconds: remembered, never stale, and never told."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Transaction
from schemas.topics import TRANSACTIONS
from tests.builders import NOON, transaction

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(moments)
def test_the_time_is_in_milliseconds_each_time_it_is_asked_for(moment: datetime) -> None:
    payment = transaction().model_copy(update={"event_time": moment})
    expected = ((moment - EPOCH) + timedelta(microseconds=500)) // timedelta(milliseconds=1)
    assert [payment.time_ms(), payment.time_ms()] == [expected, expected]


def test_a_copy_with_another_time_tells_its_own() -> None:
    payment = transaction("a", NOON)
    assert payment.time_ms() == NOON
    assert payment.model_copy(update={"event_time": EPOCH}).time_ms() == 0


def test_asking_for_the_time_changes_nothing_that_is_told() -> None:
    asked, untouched = transaction("a", NOON), transaction("a", NOON)
    asked.time_ms()
    assert asked == untouched
    assert repr(asked) == repr(untouched)
    assert dict(asked) == dict(untouched)
    assert asked.model_dump() == untouched.model_dump()
    assert TRANSACTIONS.encode(asked) == TRANSACTIONS.encode(untouched)
    assert Transaction.model_validate(asked.model_dump()) == untouched
