"""What is known about a customer at each payment, against a naive oracle and by example."""

from math import exp, isnan, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.customers import WINDOWED, CustomerFeatures
from processors.definitions import Feature
from processors.past import distance_km
from schemas.events import Transaction
from schemas.records import DAY
from schemas.results import CardFeatures
from schemas.topics import CUSTOMER_LABELS
from streams.task import Task
from tests.builders import HOUR, MINUTE, NOON, heard, label, record, transaction

EXACT = tuple(feature.name for feature in WINDOWED)


class Teller:
    """A customer's payments, and what is said about each."""

    def __init__(self, **settings: Any) -> None:
        self.processor = CustomerFeatures(**settings)
        self.task = Task(self.processor, {}, {})

    def said(self, *payments: Transaction) -> list[CardFeatures]:
        return heard(self.task, *payments)

    def pay(self, event_id: str, at: int, **changed: Any) -> dict[str, float]:
        (features,) = self.said(transaction(event_id, at, **changed))
        return self.named(features)

    def named(self, features: CardFeatures) -> dict[str, Any]:
        return dict(zip(self.processor.names, features.customer, strict=True))

    def know(self, event_id: str, at: int, **changed: Any) -> None:
        assert heard(self.task, record(label(event_id, at, **changed), CUSTOMER_LABELS)) == []

    def state(self, user: str = "ann") -> Any:
        return self.task.states[user]

    def pay_as_usual(self, payments: int = 12) -> None:
        """Pay about 20 at noon of each day up to the day before NOON."""
        for day in range(-payments, 0):
            self.pay(f"usual{day}", NOON + day * DAY, amount=str(20 + day % 3))


@pytest.fixture
def teller() -> Teller:
    return Teller()


def test_a_first_payment_is_all_that_is_known(teller: Teller) -> None:
    found = teller.pay("a", NOON, amount="25.00", country="DE", device="phone")
    assert found["amount"] == found["customer_mean_30d"] == 25.0
    assert found["customer_count_1d"] == found["customer_count_30d"] == 1.0
    assert (found["weekend"], found["night"], found["hour"], found["account_age_days"]) == (0.0, 0.0, 12.0, 0.0)
    assert (found["new_terminal"], found["new_country"], found["new_device"]) == (1.0, 1.0, 1.0)
    unknown = ("amount_z", "amount_log_ratio_mean", "amount_log_ratio_max", "amount_z_genuine", "seconds_since_last")
    assert all(isnan(found[name]) for name in (*unknown, "speed_kmh"))


def test_a_payment_goes_on_to_its_terminal_with_where_it_was_read(teller: Teller) -> None:
    payment = record(transaction("a", card="tok", country="DE", tenant="acme"), partition=3, offset=17)
    (said,) = heard(teller.task, payment)
    assert (said.event_id, said.event_time, said.tenant, said.user, said.terminal) == ("a", NOON, "acme", "ann", "t1")
    assert (said.input_topic, said.input_partition, said.input_offset) == ("transactions", 3, 17)
    assert (said.amount, said.currency, said.card, said.country, said.customer_age) == (25.0, "EUR", "tok", "DE", -1)


@pytest.mark.parametrize(
    ("places", "expected"),
    [({}, "t1"), ({"terminal": None, "merchant": "m1"}, "m1"), ({"terminal": None}, "ann")],
)
def test_a_payment_without_a_terminal_is_about_its_merchant_or_its_customer(
    teller: Teller, places: dict[str, Any], expected: str
) -> None:
    assert teller.said(transaction(**places))[0].terminal == expected


def test_the_amount_is_told_whatever_the_declared_features() -> None:
    hour_first = (Feature(name="hour", calendar="hour"), *WINDOWED[4:], WINDOWED[0])
    (said,) = Teller(windowed=hour_first).said(transaction(amount="25.00"))
    assert said.amount == 25.0


def test_features_that_others_are_derived_from_must_be_declared() -> None:
    with pytest.raises(ValueError, match="customer_mean_30d"):
        CustomerFeatures(windowed=WINDOWED[:3])


times = st.integers(0, 40 * DAY // HOUR).map(lambda hours: NOON + hours * HOUR)
amounts = st.integers(0, 50_000).map(lambda cents: f"{cents / 100:.2f}")
units = st.sampled_from(["EUR", "MILES"])
payments = st.lists(st.tuples(times, st.integers(0, 900), units), min_size=1, max_size=30)


def naive(history: list[tuple[int, int, str]], at: int, unit: str) -> dict[str, float]:
    """Return the windows (t − w, t] of a customer, by looking at every payment."""
    found = {}
    for days in (1, 7, 30):
        inside = [(amount, of) for time, amount, of in history if at - days * DAY < time <= at]
        own = [amount for amount, of in inside if of == unit]
        found[f"customer_count_{days}d"] = float(len(inside))
        found[f"customer_mean_{days}d"] = sum(own) / len(own)
    return found


@given(payments)
def test_windows_equal_their_naive_oracle_and_units_never_mix(history: list[tuple[int, int, str]]) -> None:
    teller, ordered = Teller(), sorted(history)
    for n, (at, amount, unit) in enumerate(ordered):
        found = teller.pay(f"e{n}", at, amount=str(amount), currency=unit)
        expected = naive(ordered[: n + 1], at, unit)
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_miles_neither_surprise_nor_comfort_a_customer_who_pays_in_euros(teller: Teller) -> None:
    teller.pay_as_usual()
    found = teller.pay("miles", NOON, amount="50000", currency="MILES")
    assert isnan(found["amount_z"])
    assert isnan(found["amount_log_ratio_max"])
    assert found["customer_mean_30d"] == 50_000.0
    assert teller.pay("euros", NOON + HOUR, amount="20")["customer_mean_30d"] == pytest.approx(20, abs=1.5)


@given(payments, st.data())
def test_repeated_event_ids_count_once(history: list[tuple[int, int, str]], data: st.DataObject) -> None:
    week = sorted((NOON + (at - NOON) % (7 * DAY), amount, unit) for at, amount, unit in history)
    once = [transaction(f"e{n}", at, amount=str(amount), currency=unit) for n, (at, amount, unit) in enumerate(week)]
    twice = list(once)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(twice) - 1))
        twice.insert(data.draw(st.integers(at, len(twice))), twice[at])
    assert str(Teller().said(*twice)) == str(Teller().said(*once))


def test_repeats_are_counted(teller: Teller) -> None:
    assert len(teller.said(transaction("a"), transaction("a"), transaction("a", amount="99"))) == 1
    assert teller.state().duplicates == 2


def test_event_ids_are_forgotten_after_the_horizon() -> None:
    teller = Teller(horizon=DAY)
    teller.said(*(transaction(f"e{n}", NOON + n * HOUR) for n in range(200)))
    assert len(teller.state().seen) < 3 * 25
    assert len(teller.said(transaction("e0", NOON + 200 * HOUR))) == 1


@given(st.permutations(range(8)), st.lists(st.integers(0, 7 * 24), min_size=8, max_size=8))
def test_the_order_of_arrival_within_the_lateness_changes_no_window(order: list[int], hours: list[int]) -> None:
    sent = [transaction(f"e{n}", NOON + hours[n] * HOUR, amount=str(n)) for n in range(8)]
    last = transaction("last", NOON + 7 * DAY)
    in_order = sorted(sent, key=lambda payment: payment.event_time)
    shuffled, ordered = Teller(), Teller()
    *_, late = shuffled.said(*(sent[n] for n in order), last)
    *_, punctual = ordered.said(*in_order, last)
    assert shuffled.named(late).keys() >= set(EXACT)
    assert [shuffled.named(late)[name] for name in EXACT] == [ordered.named(punctual)[name] for name in EXACT]


def test_a_payment_beyond_the_lateness_is_scored_but_only_counted() -> None:
    teller = Teller(lateness=DAY)
    teller.pay("new", NOON, amount="20")
    teller.pay("late", NOON - DAY - 1, amount="1000")
    assert teller.state().late == 1
    assert teller.pay("next", NOON + 1, amount="20")["customer_mean_30d"] == 20.0


def test_a_payment_within_a_longer_lateness_is_taken_in() -> None:
    teller = Teller(lateness=20 * DAY)
    teller.pay("new", NOON, amount="20")
    teller.pay("late", NOON - 19 * DAY, amount="70")
    assert teller.state().late == 0
    assert teller.pay("next", NOON + 1, amount="60")["customer_mean_30d"] == 50.0


@pytest.mark.parametrize("place", ["terminal", "country", "device"])
def test_a_place_is_new_once(teller: Teller, place: str) -> None:
    found = [teller.pay(f"{n}", NOON + n, **{place: value}) for n, value in enumerate(["DE", "DE", "FR", "DE", "FR"])]
    assert [each[f"new_{place}"] for each in found] == [1.0, 0.0, 1.0, 0.0, 0.0]


def test_a_payment_that_does_not_say_where_is_neither_new_nor_known(teller: Teller) -> None:
    found = teller.pay("a", NOON)
    assert isnan(found["new_country"])
    assert isnan(found["new_device"])


def test_travel_faster_than_any_aeroplane_is_seen(teller: Teller) -> None:
    berlin, new_york = {"latitude": 52.52, "longitude": 13.40}, {"latitude": 40.71, "longitude": -74.01}
    assert isnan(teller.pay("a", NOON, **berlin)["speed_kmh"])
    assert teller.pay("b", NOON + HOUR, **berlin)["speed_kmh"] == 0.0
    assert isnan(teller.pay("no place", NOON + 2 * HOUR)["speed_kmh"])
    assert teller.pay("c", NOON + 3 * HOUR, **new_york)["speed_kmh"] == pytest.approx(6385 / 2, rel=0.01)


def test_two_places_in_the_same_second_are_a_minute_apart(teller: Teller) -> None:
    teller.pay("a", NOON, latitude=0.0, longitude=0.0)
    speed = teller.pay("b", NOON, latitude=0.0, longitude=1.0)["speed_kmh"]
    assert speed == pytest.approx(distance_km(0, 0, 0, 1) * 60)


def test_the_farthest_place_is_half_the_earth_away() -> None:
    assert distance_km(90, 0, -90, 0) == pytest.approx(20_015, rel=1e-3)


def test_an_amount_is_held_against_the_customers_mean_and_maximum(teller: Teller) -> None:
    teller.pay("a", NOON, amount="9")
    teller.pay("b", NOON + 1, amount="19")
    found = teller.pay("c", NOON + 2, amount="99")
    assert found["amount_log_ratio_mean"] == pytest.approx(log(100 / 15))
    assert found["amount_log_ratio_max"] == pytest.approx(log(100 / 20))


def test_a_mean_in_one_unit_is_over_the_payments_in_that_unit(teller: Teller) -> None:
    teller.pay_as_usual()
    assert isnan(teller.pay("first", NOON, amount="9", currency="MILES")["amount_log_ratio_mean"])
    second = teller.pay("second", NOON + 1, amount="99", currency="MILES")
    assert second["amount_log_ratio_mean"] == pytest.approx(log(10))


def test_the_largest_amount_of_30_days_is_forgotten_on_time(teller: Teller) -> None:
    for event_id, at, amount in (("a", 0, "99"), ("b", DAY, "9"), ("c", 2 * DAY, "4")):
        teller.pay(event_id, NOON + at, amount=amount)
    assert teller.pay("d", NOON + 30 * DAY, amount="9")["amount_log_ratio_max"] == pytest.approx(0.0)
    assert teller.pay("e", NOON + 30 * DAY + 1, amount="19")["amount_log_ratio_max"] == pytest.approx(log(2))
    assert isnan(teller.pay("f", NOON + 90 * DAY, amount="19")["amount_log_ratio_max"])


def test_time_since_the_last_payment_and_since_the_first(teller: Teller) -> None:
    teller.pay("a", NOON)
    found = teller.pay("b", NOON + 36 * HOUR)
    assert (found["seconds_since_last"], found["account_age_days"]) == (36 * 3600.0, 1.5)


def test_one_outlier_hardly_moves_what_is_usual(teller: Teller) -> None:
    teller.pay_as_usual()
    first = teller.pay("outlier", NOON, amount="5000")["amount_z"]
    second = teller.pay("again", NOON + MINUTE, amount="5000")["amount_z"]
    assert first > 20
    assert second > first / 2


class TestASurprise:
    @pytest.fixture
    def teller(self) -> Teller:
        teller = Teller(label_window=20 * DAY)
        teller.pay_as_usual()
        assert teller.pay("surprise", NOON, amount="2000")["surprises_14d"] == 0.0
        return teller

    def test_counts_for_14_days(self, teller: Teller) -> None:
        next_day = teller.pay("b", NOON + DAY, amount="20")
        assert next_day["surprises_14d"] == 1.0
        assert next_day["surprise_max_14d"] > 2.5
        assert teller.pay("c", NOON + 14 * DAY - 1, amount="20")["surprises_14d"] == 1.0
        gone = teller.pay("d", NOON + 14 * DAY, amount="20")
        assert (gone["surprises_14d"], gone["surprise_max_14d"]) == (0.0, 0.0)

    def test_is_explained_by_a_fraud_label(self, teller: Teller) -> None:
        teller.know("surprise", NOON, known_at=NOON + HOUR)
        found = teller.pay("b", NOON + 7 * DAY, amount="20")
        assert found["surprises_14d"] == 0.0
        assert found["known_frauds_decayed"] == pytest.approx(0.5)
        assert found["known_surprising_frauds_decayed"] == pytest.approx(0.5)

    def test_is_explained_by_a_verdict_that_it_was_genuine(self, teller: Teller) -> None:
        teller.know("surprise", NOON, known_at=NOON + HOUR, fraud=False)
        found = teller.pay("b", NOON + DAY, amount="20")
        assert found["surprises_14d"] == found["known_frauds_decayed"] == 0.0

    def test_is_explained_once_its_label_window_has_passed(self) -> None:
        teller = Teller(label_window=2 * DAY)
        teller.pay_as_usual()
        teller.pay("surprise", NOON, amount="2000")
        assert teller.pay("b", NOON + 2 * DAY, amount="20")["surprises_14d"] == 1.0
        assert teller.pay("c", NOON + 2 * DAY + 1, amount="20")["surprises_14d"] == 0.0


def test_known_frauds_fade_with_a_half_life_of_a_week(teller: Teller) -> None:
    teller.pay_as_usual(3)
    teller.know("usual-2", NOON - 2 * DAY)
    found = teller.pay("b", NOON + 12 * DAY)
    assert found["known_frauds_decayed"] == pytest.approx(exp(-log(2) * 14 / 7))
    assert found["known_surprising_frauds_decayed"] == 0.0


def test_a_reversal_takes_a_known_fraud_back(teller: Teller) -> None:
    teller.pay_as_usual(3)
    teller.know("usual-2", NOON - 2 * DAY)
    teller.know("usual-2", NOON - 2 * DAY, fraud=False)
    assert teller.pay("b", NOON)["known_frauds_decayed"] == 0.0


def test_only_payments_known_as_genuine_make_a_genuine_past() -> None:
    teller = Teller(label_window=2 * DAY)
    teller.pay_as_usual(3)
    teller.know("usual-3", NOON - 3 * DAY)
    assert isnan(teller.pay("b", NOON, amount="20")["amount_z_genuine"])
    teller.pay("c", NOON + DAY, amount="20")
    assert teller.pay("d", NOON + 3 * DAY + 1, amount="400")["amount_z_genuine"] > 10


def test_a_label_of_an_unknown_customer_leaves_nothing(teller: Teller) -> None:
    teller.know("a", NOON)
    assert teller.task.states == {}


def test_customers_and_tenants_are_apart(teller: Teller) -> None:
    teller.said(transaction("a", user="ann"), transaction("b", user="bob"), transaction("c", user="ann", tenant="x"))
    assert set(teller.task.states) == {"ann", "bob", "x/ann"}
    assert teller.pay("d", NOON + 1, user="bob")["customer_count_30d"] == 2.0


def test_a_customers_memory_is_bounded(teller: Teller) -> None:
    for n in range(300):
        teller.pay(f"e{n}", NOON + n * 12 * HOUR, terminal=f"t{n}", country=f"{n % 90:02}", device=f"d{n}")
    state = teller.state()
    kept = (state.terminals, state.countries, state.devices, state.pending, state.seen, state.trails[0].times)
    assert all(len(each) <= 200 for each in kept)


def test_a_setup_is_told_by_what_is_kept_of_each_customer() -> None:
    more = Feature(name="ten_days", aggregate="count", window="10d")
    hour = Feature(name="hour_again", calendar="hour")
    assert CustomerFeatures().setup == CustomerFeatures(label_window=1).setup
    assert CustomerFeatures((*WINDOWED, hour)).setup == CustomerFeatures().setup
    assert CustomerFeatures((*WINDOWED, more)).setup != CustomerFeatures().setup
