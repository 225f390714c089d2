"""Sessions: the same as a scan of all clicks finds, in whatever order they come, and never more than are kept."""

from itertools import pairwise
from math import isnan, nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.offer_answers import answer, show
from processors.offer_context import context_values, new_context
from processors.offer_features import NAMES, SESSIONS, candidate_vectors
from processors.offer_sessions import MINUTE, PAUSE, SPAN, Session, Sessions
from processors.offer_sessions import SESSIONS as MOST
from processors.offer_terms import terms_of
from schemas.records import DAY
from tests.builders import NOON
from tests.processors.offer_world import click, offer

TIMES = st.lists(st.integers(0, 20 * 24).map(lambda quarters: NOON + quarters * 15 * MINUTE), min_size=1, max_size=30)


def folded(*times: int) -> Sessions:
    found = Sessions()
    for time in times:
        found.add(time)
    return found


def scanned(times: list[int]) -> list[Session]:
    """Return the sessions of clicks, which a longer pause than `PAUSE` parts."""
    ordered = sorted(times)
    starts = [0, *(at for at, (one, other) in enumerate(pairwise(ordered), 1) if other - one > PAUSE)]
    runs = [ordered[start:end] for start, end in zip(starts, [*starts[1:], len(ordered)], strict=True)]
    return [Session(run[0], run[-1], len(run)) for run in runs]


@given(times=TIMES, data=st.data())
def test_sessions_equal_a_scan_of_all_clicks_in_whatever_order_they_come(times: list[int], data: st.DataObject) -> None:
    assert folded(*data.draw(st.permutations(times))).known == scanned(times)


@given(times=TIMES, quarters=st.integers(0, 60 * 24 * 4))
def test_values_equal_a_scan(times: list[int], quarters: int) -> None:
    time = NOON + quarters * 15 * MINUTE
    past = [session for session in scanned(times) if session.start <= time and session.end > time - SPAN]
    now = [session for session in past if time <= session.end + PAUSE]
    clicks, minutes = (now[-1].clicks, (time - now[-1].start) / MINUTE) if now else (0.0, nan)
    assert folded(*times).values(time) == pytest.approx((len(past), clicks, minutes), nan_ok=True)


def test_a_pause_of_half_an_hour_is_in_a_session_and_a_longer_one_ends_it() -> None:
    assert folded(NOON, NOON + PAUSE).values(NOON + 2 * PAUSE) == (1.0, 2.0, 60.0)
    assert folded(NOON, NOON + PAUSE + 1).values(NOON + PAUSE + 1) == (2.0, 1.0, 0.0)


def test_a_click_between_two_sessions_joins_them() -> None:
    assert folded(NOON, NOON + 50 * MINUTE, NOON + 25 * MINUTE).known == [Session(NOON, NOON + 50 * MINUTE, 3)]


def test_without_clicks_nothing_is_known_and_outside_of_a_session_there_are_none() -> None:
    assert all(map(isnan, Sessions().values(NOON)))
    sessions, clicks, minutes = folded(NOON).values(NOON + DAY)
    assert (sessions, clicks, isnan(minutes)) == (1.0, 0.0, True)


def test_sessions_are_forgotten_by_their_age_and_by_their_number() -> None:
    assert folded(NOON, NOON + SPAN).known == [Session(NOON + SPAN, NOON + SPAN, 1)]
    assert folded(NOON + SPAN, NOON).known == folded(NOON, NOON + SPAN).known
    many = folded(*(NOON + number * 2 * PAUSE for number in range(MOST + 5)))
    assert (len(many.known), many.known[0].start) == (MOST, NOON + 5 * 2 * PAUSE)


def test_what_a_customer_does_looking_around_is_a_session_once() -> None:
    context = new_context(NOON)
    show(context, "d-1", terms_of(offer()), NOON)
    for _ in range(2):
        for number, kind in enumerate(("view", "dismiss", "click", "redemption", "purchase", "reversal")):
            answer(context, click(kind, NOON + number * MINUTE))
    assert context.sessions.known == [Session(NOON, NOON + 2 * MINUTE, 3)]


def test_sessions_are_features_of_every_candidate() -> None:
    context = new_context(NOON)
    for minute in (0, 10):
        answer(context, click("view", NOON + minute * MINUTE))
    rows = candidate_vectors(context, [terms_of(offer()), terms_of(offer("tea"))], NOON + 15 * MINUTE)
    at = [NAMES.index(name) for name in SESSIONS]
    assert rows[:, at].tolist() == [[1.0, 2.0, 15.0]] * 2


def test_a_context_from_before_there_were_sessions_is_read() -> None:
    context = new_context(NOON)
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(context))
    del told["sessions"]
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=type(context))
    assert restored.sessions == Sessions()
    assert str(context_values(restored, NOON)) == str(context_values(context, NOON))
