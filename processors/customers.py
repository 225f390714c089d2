"""The first hop: what is known about a customer when they pay, sent on to the terminal they pay at."""

from collections.abc import Iterable
from math import asin, cos, exp, log, nan, radians, sin, sqrt

import msgspec

from processors.base import Said, Tables
from processors.definitions import Feature
from processors.features import FeatureSet
from processors.trail import Trail
from schemas.events import Transaction
from schemas.money import minor_units
from schemas.records import DAY, AnyRecord
from schemas.results import CardFeatures, Label
from schemas.topics import CARD_FEATURES, CUSTOMER_LABELS, TRANSACTIONS

WINDOWED = (
    Feature(name="amount", aggregate="value", of="amount"),
    Feature(name="weekend", calendar="weekend"),
    Feature(name="night", calendar="night"),
    Feature(name="hour", calendar="hour"),
    Feature(name="customer_count_1d", window="1d"),
    Feature(name="customer_count_7d", window="7d"),
    Feature(name="customer_count_30d", window="30d"),
    Feature(name="customer_mean_1d", aggregate="mean", of="amount", window="1d"),
    Feature(name="customer_mean_7d", aggregate="mean", of="amount", window="7d"),
    Feature(name="customer_mean_30d", aggregate="mean", of="amount", window="30d"),
)
"""The declared features of a customer; amounts are in the transaction's own unit."""

IN_UNIT = Feature(name="customer_count_30d in this unit", aggregate="count", of="amount", window="30d")
"""How many payments `customer_mean_30d` is the mean of. No feature itself: the ones below stand in its place."""

DERIVED = (
    "amount_z",
    "amount_log_ratio_mean",
    "amount_log_ratio_max",
    "amount_z_genuine",
    "amount_log_ratio_genuine",
    "surprises_14d",
    "surprise_max_14d",
    "known_frauds_decayed",
    "known_surprising_frauds_decayed",
    "seconds_since_last",
    "account_age_days",
    "new_terminal",
    "new_country",
    "new_device",
    "speed_kmh",
)
"""What is computed from a customer's own past beyond declared windows."""

SURPRISING = 2.5
"""A winsorised z above this is a surprise."""

SURPRISE_SPAN = 14 * DAY
PEAK_SPAN = 30 * DAY
FRAUD_HALF_LIFE = 7 * DAY
WINSOR = 3.0
LEAST_DEVIATION = 0.1
LEAST_AMOUNT = 0.01
REMEMBERED = 64
EARTH_KM = 6371.0


class Usual(msgspec.Struct, array_like=True):
    """A running mean and deviation of amounts in which one outlier weighs little: values are winsorised first.

    Welford's update, of values clipped to mean ± 3 standard deviations once ten have been seen. No deviation is taken
    to be smaller than a tenth of the mean.
    """

    count: int = 0
    mean: float = 0.0
    deviation: float = 0.0
    m2: float = 0.0

    def z(self, value: float) -> float:
        """Return how many standard deviations above its past `value` is; NaN before three values."""
        if self.count < 3:
            return nan
        return (value - self.mean) / (max(self.deviation, LEAST_DEVIATION * self.mean) + LEAST_AMOUNT)

    def log_ratio(self, value: float) -> float:
        """Return log of `value` over the mean of its past; NaN before three values."""
        return nan if self.count < 3 else log((value + 1.0) / (self.mean + 1.0))

    def add(self, value: float) -> None:
        """Take in one value."""
        if self.count >= 10:
            reach = WINSOR * (self.deviation + LEAST_DEVIATION * self.mean)
            value = min(max(value, self.mean - reach), self.mean + reach)
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.m2 += step * (value - self.mean)
        if self.count > 1:
            self.deviation = sqrt(self.m2 / (self.count - 1))


class Surprise(msgspec.Struct):
    """A payment unlike the customer's past that nobody has explained yet."""

    time: int
    event_id: str
    z: float


class Customer(msgspec.Struct):
    """Everything kept about one customer."""

    trails: list[Trail]
    first_seen: int
    seen: dict[str, int] = {}
    usual: dict[str, Usual] = {}
    genuine: dict[str, Usual] = {}
    pending: list[tuple[int, str, str, float]] = []
    peaks: dict[str, list[tuple[int, float]]] = {}
    surprises: list[Surprise] = []
    frauds: list[tuple[int, bool]] = []
    terminals: list[str] = []
    countries: list[str] = []
    devices: list[str] = []
    place: tuple[int, float, float] | None = None
    late: int = 0
    duplicates: int = 0


class CustomerFeatures:
    """Folds a customer's payments, and says each on to its terminal with the customer's features.

    Repeated event ids within `horizon` milliseconds count once. Labels correct the history when they become known. An
    event older than `lateness` behind the customer's newest is scored, but only counted (`late`), not aggregated.
    """

    name = "features"
    inputs = (TRANSACTIONS, CUSTOMER_LABELS)
    outputs = (CARD_FEATURES,)
    tables = ()
    state = Customer

    def __init__(
        self,
        windowed: tuple[Feature, ...] = WINDOWED,
        label_window: int = 7 * DAY,
        horizon: int = 7 * DAY,
        lateness: int = 7 * DAY,
    ) -> None:
        self.features = FeatureSet((*windowed, IN_UNIT), lateness)
        self.names = self.features.names[:-1] + DERIVED
        self._label_window = label_window
        self._horizon = horizon
        self._lateness = lateness
        self._amount_at = _position(self.features.names, "amount")
        self._mean_at = _position(self.features.names, "customer_mean_30d")

    def step(self, state: Customer | None, record: AnyRecord, tables: Tables) -> tuple[Customer | None, Iterable[Said]]:
        """Return the customer's next state and the enriched transaction."""
        message = record.message
        if isinstance(message, Label):
            return self._learned(state, message), ()
        time = message.time_ms()
        if state is None:
            state = Customer(trails=self.features.new(), first_seen=time)
        if message.event_id in state.seen:
            state.duplicates += 1
            return state, ()
        return state, (Said(CARD_FEATURES, self._enriched(state, message, time, record)),)

    def _enriched(self, state: Customer, message: Transaction, time: int, record: AnyRecord) -> CardFeatures:
        newest = state.trails[0].watched
        self._remember(state, message.event_id, time)
        unit = message.currency
        fields = {
            "amount": minor_units(message.amount, unit),
            "fraud": 0,
            "mcc": message.mcc,
            "channel": message.channel,
        }
        if time >= newest - self._lateness:
            self.features.observe(state.trails, time, message.event_id, unit, fields)
        else:
            state.late += 1
        values = self.features.values(state.trails, time, unit, fields)
        self._settle(state, time)
        values[-1:] = self._derived(state, message, time, newest, values)
        return CardFeatures(
            event_id=message.event_id,
            event_time=time,
            tenant=message.tenant,
            user=message.user,
            terminal=message.counterparty(),
            amount=values[self._amount_at],
            currency=unit,
            customer=tuple(values),
            card=message.card,
            country=message.country,
            customer_age=time - newest if newest >= 0 else -1,
            input_topic=record.topic.name,
            input_partition=record.partition,
            input_offset=record.offset,
        )

    def _remember(self, state: Customer, event_id: str, time: int) -> None:
        seen = state.seen
        seen[event_id] = time
        oldest = next(iter(seen))
        while seen[oldest] < time - self._horizon:
            del seen[oldest]
            oldest = next(iter(seen))

    def _derived(
        self, state: Customer, message: Transaction, time: int, newest: int, values: list[float]
    ) -> tuple[float, ...]:
        unit, amount = message.currency, values[self._amount_at]
        usual = state.usual.get(unit)
        if usual is None:
            usual = state.usual[unit] = Usual()
            state.genuine[unit] = Usual()
        genuine = state.genuine[unit]
        z = usual.z(amount)
        surprises = _count_surprises(state, time)
        derived = (
            z,
            _log_ratio_to_mean(amount, values[self._mean_at], values[-1]),
            _log_ratio_to_max(state.peaks.setdefault(unit, []), time, amount),
            genuine.z(amount),
            genuine.log_ratio(amount),
            *surprises,
            *_known_frauds(state, time),
            (time - newest) / 1000.0 if newest >= 0 else nan,
            (time - state.first_seen) / DAY,
            _is_new(state.terminals, message.counterparty()),
            _is_new(state.countries, message.country),
            _is_new(state.devices, message.device),
            _speed(state, message, time),
        )
        usual.add(amount)
        state.pending.append((time, message.event_id, unit, amount))
        if z > SURPRISING:
            state.surprises.append(Surprise(time, message.event_id, z))
        return derived

    def _settle(self, state: Customer, time: int) -> None:
        """Take in payments whose label window has passed: whatever is not known as fraud by then was genuine."""
        pending, until = state.pending, time - self._label_window
        done = 0
        for at, event_id, unit, amount in pending:
            if at >= until:
                break
            done += 1
            state.genuine[unit].add(amount)
            if state.surprises:
                state.surprises = [surprise for surprise in state.surprises if surprise.event_id != event_id]
        if done:
            del pending[:done]

    def _learned(self, state: Customer | None, label: Label) -> Customer | None:
        if state is None:
            return state
        self.features.correct(state.trails, label.event_time, label.event_id, label.fraud)
        surprising = any(surprise.event_id == label.event_id for surprise in state.surprises)
        state.surprises = [surprise for surprise in state.surprises if surprise.event_id != label.event_id]
        if not label.fraud:
            state.frauds = [fraud for fraud in state.frauds if fraud[0] != label.event_time]
            return state
        state.pending = [payment for payment in state.pending if payment[1] != label.event_id]
        state.frauds = [*state.frauds, (label.event_time, surprising)][-REMEMBERED:]
        return state


def _position(names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise ValueError(f"the customer's features must declare {name!r}, which others are derived from")
    return names.index(name)


def _log_ratio_to_mean(amount: float, mean: float, count: float) -> float:
    if count < 2:
        return nan
    before = (mean * count - amount) / (count - 1)
    return log((amount + 1.0) / (max(before, 0.0) + 1.0))


def _log_ratio_to_max(peaks: list[tuple[int, float]], time: int, amount: float) -> float:
    """Return log of the amount over the largest of the last 30 days, NaN without one, and take the amount in.

    `peaks` are the payments that no later one has surpassed, so the first is the largest; smaller and later ones
    follow.
    """
    while peaks and peaks[0][0] <= time - PEAK_SPAN:
        del peaks[0]
    ratio = log((amount + 1.0) / (peaks[0][1] + 1.0)) if peaks else nan
    while peaks and peaks[-1][1] <= amount:
        del peaks[-1]
    peaks.append((time, amount))
    return ratio


def _count_surprises(state: Customer, time: int) -> tuple[float, float]:
    if not state.surprises:
        return 0.0, 0.0
    recent = [surprise.z for surprise in state.surprises if surprise.time > time - SURPRISE_SPAN]
    return float(len(recent)), max(recent, default=0.0)


def _known_frauds(state: Customer, time: int) -> tuple[float, float]:
    if not state.frauds:
        return 0.0, 0.0
    weights = [(exp(-log(2) * (time - at) / FRAUD_HALF_LIFE), surprising) for at, surprising in state.frauds]
    return sum(weight for weight, _ in weights), sum(weight for weight, surprising in weights if surprising)


def _is_new(known: list[str], value: str | None) -> float:
    """Return 1 when a value was never seen, 0 when it was, NaN when there is none; and remember it."""
    if value is None:
        return nan
    if value in known:
        return 0.0
    known.append(value)
    del known[:-REMEMBERED]
    return 1.0


def _speed(state: Customer, message: Transaction, time: int) -> float:
    """Return the km/h needed from the last known place (great circle, haversine); NaN without two places."""
    if message.latitude is None or message.longitude is None:
        return nan
    last, state.place = state.place, (time, message.latitude, message.longitude)
    if last is None:
        return nan
    hours = max(abs(time - last[0]) / 3_600_000, 1 / 60)
    return distance_km(last[1], last[2], message.latitude, message.longitude) / hours


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance in kilometres of two places in degrees.

    >>> round(distance_km(48.85, 2.35, 51.51, -0.13))
    344
    """
    half_north = radians(other_latitude - latitude) / 2
    half_east = radians(other_longitude - longitude) / 2
    chord = sin(half_north) ** 2 + cos(radians(latitude)) * cos(radians(other_latitude)) * sin(half_east) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(chord)))
