"""The first hop: what is known about a customer when they pay, sent on to the terminal they pay at."""

from collections.abc import Iterable
from hashlib import blake2b
from math import nan
from typing import Any

import msgspec

from processors.base import Said, Tables
from processors.definitions import Feature
from processors.features import FeatureSet
from processors.past import (
    REMEMBERED,
    SURPRISING,
    Known,
    Place,
    Surprise,
    Usual,
    known_frauds,
    log_ratio_to_max,
    log_ratio_to_mean,
    speed,
    surprises_of,
)
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


class Customer(msgspec.Struct, gc=False):
    """Everything kept about one customer."""

    trails: list[Trail]
    first_seen: int
    seen: dict[str, int] = {}
    seen_at_most: int = REMEMBERED
    usual: dict[str, Usual] = {}
    genuine: dict[str, Usual] = {}
    pending: list[tuple[int, str, str, float]] = []
    peaks: dict[str, list[tuple[int, float]]] = {}
    surprises: list[Surprise] = []
    frauds: list[tuple[int, bool]] = []
    terminals: Known = msgspec.field(default_factory=Known)
    countries: Known = msgspec.field(default_factory=Known)
    devices: Known = msgspec.field(default_factory=Known)
    place: Place | None = None
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
        asked = {name for f in windowed for name in (f.of, f.where and f.where.field) if name}
        self._fields = tuple(sorted(asked - {"amount", "fraud"}))
        declared = "\n".join(feature.model_dump_json() for feature in windowed if feature.windowed)
        self.setup = blake2b(declared.encode(), digest_size=8).hexdigest()
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
        if state.seen.get(message.event_id, -self._horizon - 1) >= time - self._horizon:
            state.duplicates += 1
            return state, ()
        return state, (Said(CARD_FEATURES, self._enriched(state, message, time, record)),)

    def _enriched(self, state: Customer, message: Transaction, time: int, record: AnyRecord) -> CardFeatures:
        newest = state.trails[0].watched
        self._remember(state, message.event_id, time)
        unit = message.currency
        fields: dict[str, Any] = {"amount": minor_units(message.amount, unit), "fraud": 0}
        for name in self._fields:
            fields[name] = getattr(message, name, None)
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
        if len(seen) > state.seen_at_most:
            state.seen = {known: at for known, at in seen.items() if at >= time - self._horizon}
            state.seen_at_most = max(REMEMBERED, 2 * len(state.seen))

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
        place = None if message.latitude is None else Place.of(message, time)
        derived = (
            z,
            log_ratio_to_mean(amount, values[self._mean_at], values[-1]),
            log_ratio_to_max(state.peaks.setdefault(unit, []), time, amount),
            genuine.z(amount),
            genuine.log_ratio(amount),
            *surprises_of(state.surprises, time),
            *known_frauds(state.frauds, time),
            (time - newest) / 1000.0 if newest >= 0 else nan,
            (time - state.first_seen) / DAY,
            state.terminals.is_new(message.counterparty()),
            nan if message.country is None else state.countries.is_new(message.country),
            nan if message.device is None else state.devices.is_new(message.device),
            nan if place is None else speed(state.place, place),
        )
        state.place = place or state.place
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
