"""What is known about a terminal: outcomes count once they have matured, whenever and in whatever order they came."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.terminals import CUSUM_MOST, Terminal, TerminalHistory
from schemas.records import DAY
from tests.builders import HOUR, NOON, card_features, label

WINDOWS = (1, 7, 30)
times = st.integers(0, 30 * 24).map(lambda hours: NOON + hours * HOUR)
payments = st.lists(st.tuples(times, st.booleans()), min_size=1, max_size=25).map(sorted)


class Till:
    """A terminal's payments and labels, and its features at each payment."""

    def __init__(self, label_window: int = 7 * DAY) -> None:
        self.history = TerminalHistory(label_window)
        self.state: Terminal = self.history.new()

    def pay(self, event_id: str, at: int) -> dict[str, float]:
        values = self.history.observe(self.state, card_features(event_id, at))
        return dict(zip(self.history.names, values, strict=True))

    def know(self, event_id: str, at: int, **changed: Any) -> None:
        self.history.learn(self.state, label(event_id, at, **changed))


@pytest.fixture
def till() -> Till:
    return Till()


def shown(features: dict[str, float]) -> str:
    """Return features as text, in which a missing value equals a missing value."""
    return str(features)


def test_a_new_terminal_has_only_this_payment(till: Till) -> None:
    found = till.pay("a", NOON)
    assert found["terminal_traffic_1d"] == 1.0
    assert found["terminal_matured"] == found["terminal_count_30d"] == found["terminal_risk_30d"] == 0.0
    assert found["terminal_risk_decayed_3d"] == pytest.approx(0.01)
    assert str(found["terminal_days_since_fraud"]) == "nan"


@given(payments)
def test_windows_over_matured_outcomes_equal_their_naive_oracle(history: list[tuple[int, bool]]) -> None:
    till = Till()
    for n, (at, fraud) in enumerate(history):
        found = till.pay(f"e{n}", at)
        for days in WINDOWS:
            matured = [was for time, was in history[: n + 1] if at - (7 + days) * DAY < time <= at - 7 * DAY]
            assert found[f"terminal_count_{days}d"] == len(matured)
            assert found[f"terminal_risk_{days}d"] == (sum(matured) / len(matured) if matured else 0.0)
        if fraud:
            till.know(f"e{n}", at, known_at=at)


@given(payments)
def test_windows_are_read_as_their_features_are_defined(history: list[tuple[int, bool]]) -> None:
    till = Till()
    for n, (at, fraud) in enumerate(history):
        found = till.pay(f"e{n}", at)
        defined = till.history.features.values(till.state.trails, at, "", {})
        assert [found[name] for name in till.history.features.names] == defined
        if fraud:
            till.know(f"e{n}", at, known_at=at)


@given(payments)
def test_a_label_younger_than_its_window_changes_nothing_but_the_days_since_fraud(
    history: list[tuple[int, bool]],
) -> None:
    told, untold = Till(), Till()
    for n, (at, fraud) in enumerate(history):
        if at >= history[0][0] + 7 * DAY:
            break
        assert _without_days(told.pay(f"e{n}", at)) == _without_days(untold.pay(f"e{n}", at))
        if fraud:
            told.know(f"e{n}", at, known_at=at)


def _without_days(features: dict[str, float]) -> str:
    return shown({name: value for name, value in features.items() if name != "terminal_days_since_fraud"})


@given(payments)
def test_a_late_chargeback_corrects_the_outcomes_as_if_it_had_been_known(history: list[tuple[int, bool]]) -> None:
    in_time, late = Till(), Till()
    for n, (at, fraud) in enumerate(history):
        in_time.pay(f"e{n}", at)
        late.pay(f"e{n}", at)
        if fraud:
            in_time.know(f"e{n}", at, known_at=at)
    until = NOON + 36 * DAY
    in_time.pay("before", until)
    late.pay("before", until)
    for n, (at, fraud) in enumerate(history):
        if fraud:
            late.know(f"e{n}", at, known_at=until)
    assert shown(late.pay("after", until + 1)) == shown(in_time.pay("after", until + 1))


@given(payments)
def test_a_reversal_leaves_the_outcomes_as_if_nothing_had_been_said(history: list[tuple[int, bool]]) -> None:
    reversed_, never = Till(), Till()
    until = NOON + 36 * DAY
    for till in (reversed_, never):
        for n, (at, _) in enumerate(history):
            till.pay(f"e{n}", at)
        till.pay("before", until)
    for fraud in (True, False):
        for n, (at, chosen) in enumerate(history):
            if chosen:
                reversed_.know(f"e{n}", at, fraud=fraud, known_at=until)
    assert shown(reversed_.pay("after", until + 1)) == shown(never.pay("after", until + 1))


def test_a_reversal_leaves_the_fraud_before_it(till: Till) -> None:
    till.pay("a", NOON)
    till.pay("b", NOON + DAY)
    till.know("a", NOON)
    till.know("b", NOON + DAY)
    till.know("b", NOON + DAY, fraud=False)
    assert till.pay("c", NOON + 2 * DAY)["terminal_days_since_fraud"] == 2.0


@given(
    st.permutations(range(8)),
    st.lists(st.integers(0, 7 * 24), min_size=8, max_size=8, unique=True),
    st.sampled_from((1, 7)),
)
def test_the_order_of_arrival_within_the_lateness_changes_nothing(
    order: list[int], hours: list[int], label_days: int
) -> None:
    shuffled, ordered = Till(label_days * DAY), Till(label_days * DAY)
    for n in order:
        shuffled.pay(f"e{n}", NOON + hours[n] * HOUR)
    for n in sorted(range(8), key=lambda n: hours[n]):
        ordered.pay(f"e{n}", NOON + hours[n] * HOUR)
    for till in (shuffled, ordered):
        till.know("e3", NOON + hours[3] * HOUR)
    at = NOON + 15 * DAY
    assert shuffled.pay("last", at) == pytest.approx(ordered.pay("last", at), nan_ok=True)


def test_an_outcome_matures_with_the_label_windows_last_millisecond(till: Till) -> None:
    till.pay("a", NOON)
    till.know("a", NOON)
    assert till.pay("b", NOON + 7 * DAY - 1)["terminal_matured"] == 0.0
    found = till.pay("c", NOON + 7 * DAY)
    assert (found["terminal_matured"], found["terminal_count_1d"], found["terminal_risk_1d"]) == (1.0, 1.0, 1.0)


def test_a_run_of_frauds_is_counted_aged_and_ended(till: Till) -> None:
    for n in range(4):
        till.pay(f"e{n}", NOON + n * DAY)
    till.know("e1", NOON + DAY)
    till.know("e2", NOON + 2 * DAY)
    two = till.pay("x", NOON + 9 * DAY)
    assert (two["terminal_fraud_run"], two["terminal_fraud_run_age_days"]) == (2.0, 8.0)
    ended = till.pay("y", NOON + 10 * DAY)
    assert ended["terminal_fraud_run"] == 0.0
    assert str(ended["terminal_fraud_run_age_days"]) == "nan"
    assert ended["terminal_days_since_fraud"] == 8.0


def test_evidence_of_fraud_rises_to_a_ceiling_and_falls_to_nothing(till: Till) -> None:
    for n in range(5):
        till.pay(f"fraud{n}", NOON + n)
        till.know(f"fraud{n}", NOON + n)
    most = till.pay("a", NOON + 8 * DAY)
    assert most["terminal_cusum"] == CUSUM_MOST
    assert most["terminal_cusum_age_days"] == pytest.approx(8.0)
    for n in range(12):
        till.pay(f"genuine{n}", NOON + 9 * DAY + n)
    none = till.pay("b", NOON + 17 * DAY)
    assert none["terminal_cusum"] == 0.0
    assert str(none["terminal_cusum_age_days"]) == "nan"


def test_rates_decay_towards_what_happened_last(till: Till) -> None:
    till.pay("fraud", NOON)
    till.know("fraud", NOON)
    soon = till.pay("genuine", NOON + 8 * DAY)
    later = till.pay("a", NOON + 16 * DAY)
    assert 0.4 < soon["terminal_risk_decayed_10d"] <= 0.51
    assert later["terminal_risk_decayed_3d"] < later["terminal_risk_decayed_10d"] < soon["terminal_risk_decayed_10d"]


def test_a_label_of_a_payment_never_seen_changes_nothing(till: Till) -> None:
    till.pay("a", NOON)
    till.know("b", NOON)
    assert str(till.pay("c", NOON + 8 * DAY)["terminal_days_since_fraud"]) == "nan"


def test_a_terminals_memory_is_bounded_and_its_late_payments_are_counted(till: Till) -> None:
    for n in range(3_000):
        till.pay(f"e{n}", NOON + n * HOUR)
    till.pay("late", NOON)
    (trail,) = till.state.trails
    assert trail.late == 1
    assert len(trail.times) < 47 * 24
