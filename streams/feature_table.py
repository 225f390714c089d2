"""Feature tables: every declared feature of every transaction of a file, with labels known only when they would be."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from math import nan
from typing import Any

from processors.definitions import AMOUNT, ENTITIES, FRAUD, Entity, Feature
from processors.features import FeatureSet
from processors.trail import Trail
from schemas.events import Feedback, Transaction
from schemas.money import minor_units
from schemas.records import AnyRecord

Row = tuple[str, list[float]]
"""The id of a transaction, and its features in the order they were declared; NaN where there is nothing to tell."""

Key = tuple[str, str]
"""A tenant and the id of an entity."""


class FeatureTable:
    """Folds transactions, and the feedback between them, into rows of declared features.

    A row holds what was known at its transaction's time, that transaction included; of equal times the earlier record
    counts as earlier. Feedback on a transaction is understood up to `label_delay` milliseconds after it. `late` counts
    transactions too far out of order to count in other rows; `missing` holds the declared fields that no row has had.
    """

    def __init__(self, features: tuple[Feature, ...], label_delay: int) -> None:
        self.names = tuple(feature.name for feature in features)
        self.late = 0
        asked = {feature.of for feature in features} | {f.where.field for f in features if f.where is not None}
        self.missing = {name for name in asked if name not in (None, AMOUNT, FRAUD)}
        self._fields = tuple(sorted(name for name in asked if name in self.missing and name is not None))
        self._label_delay = label_delay
        self._learns = FRAUD in asked
        self._of = {name: of for name in ENTITIES if (of := _FeaturesOf(name, features)).positions}
        self._recent: OrderedDict[str, tuple[int, list[_About]]] = OrderedDict()

    def rows(self, records: Iterable[AnyRecord]) -> Iterator[Row]:
        """Yield the row of each transaction among the records, in their order."""
        for record in records:
            match record.message:
                case Transaction() as transaction:
                    yield transaction.event_id, self._values(transaction)
                case Feedback() as feedback:
                    self._learn(feedback)

    def _values(self, transaction: Transaction) -> list[float]:
        time, event_id, unit = transaction.time_ms(), transaction.event_id, transaction.currency
        fields = self._read(transaction)
        row = [nan] * len(self.names)
        in_time = True
        about: list[_About] = []
        for name, of in self._of.items():
            entity = getattr(transaction, name)
            if entity is None:
                continue
            state = of.state((transaction.tenant, entity))
            about.append((of, state))
            in_time &= of.features.observe(state, time, event_id, unit, fields)
            for position, value in zip(of.positions, of.features.values(state, time, unit, fields), strict=True):
                row[position] = value
        self.late += not in_time
        if self._learns:
            self._remember(event_id, time, about)
        return row

    def _read(self, transaction: Transaction) -> dict[str, Any]:
        fields = {AMOUNT: minor_units(transaction.amount, transaction.currency), FRAUD: 0}
        for name in self._fields:
            value = getattr(transaction, name, None)
            if value is not None:
                fields[name] = value
                self.missing.discard(name)
        return fields

    def _remember(self, event_id: str, time: int, about: list["_About"]) -> None:
        recent = self._recent
        recent[event_id] = (time, about)
        while recent[oldest := next(iter(recent))][0] < time - self._label_delay:
            del recent[oldest]

    def _learn(self, feedback: Feedback) -> None:
        fraud = feedback.fraud()
        if fraud is None or feedback.about not in self._recent:
            return
        time, about = self._recent[feedback.about]
        for of, state in about:
            of.features.correct(state, time, feedback.about, fraud)


class _FeaturesOf:
    """The features of one sort of entity, where they stand in a row, and what is kept about every one seen."""

    def __init__(self, entity: Entity, features: tuple[Feature, ...]) -> None:
        self.positions = tuple(at for at, feature in enumerate(features) if feature.entity == entity)
        self.features = FeatureSet([features[at] for at in self.positions])
        self._states: dict[Key, list[Trail]] = {}

    def state(self, key: Key) -> list[Trail]:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = self.features.new()
        return state


_About = tuple[_FeaturesOf, list[Trail]]
"""The features that a transaction counts in, and the state of the entity it is about."""
