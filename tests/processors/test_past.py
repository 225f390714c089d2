"""A customer's past as numbers: the clever forms equal the plain ones."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processors.past import REMEMBERED, Known

VALUES = st.one_of(st.text("\\\n n1", max_size=4), st.integers(0, 99).map(str))


@given(st.lists(VALUES, max_size=200))
def test_what_is_new_equals_a_list_of_the_last_values_that_were(values: list[str]) -> None:
    known, listed = Known(), list[str]()
    for value in values:
        assert known.is_new(value) == (value not in listed)
        if value not in listed:
            listed = [*listed, value][-REMEMBERED:]
        known = msgspec.msgpack.decode(msgspec.msgpack.encode(known), type=Known)
        assert len(known) == len(listed)


def test_the_first_of_too_many_values_is_new_again() -> None:
    known = Known()
    for number in range(REMEMBERED + 1):
        assert known.is_new(str(number)) == 1.0
    assert known.is_new("1") == 0.0
    assert known.is_new("0") == 1.0
    assert len(known) == REMEMBERED
