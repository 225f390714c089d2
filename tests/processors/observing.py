"""Declared features over plain events: what a set of them takes in, and what it tells."""

from processors.definitions import Feature
from processors.features import FeatureSet
from processors.trail import Trail
from tests.processors.naive_features import DAY, HOUR, Event

NOON = 20_000 * DAY + 12 * HOUR


def payment(time: int, event_id: str = "e", amount: int = 100, unit: str = "EUR", **fields: object) -> Event:
    """Return a payment of so many minor units."""
    return Event(time, event_id, unit, amount, fields)


def observe(features: FeatureSet, state: list[Trail], event: Event) -> bool:
    """Take an event in, and return whether it was news."""
    return features.observe(state, event.time, event.event_id, event.unit, event.kept())


def values(features: FeatureSet, state: list[Trail], event: Event, later: int = 0) -> list[float]:
    """Return what the features are for an event, so many milliseconds after it."""
    return features.values(state, event.time + later, event.unit, event.kept())


def one(feature: Feature, events: list[Event], later: int = 0) -> float:
    """Return what one feature is for the last of some events, once all were taken in."""
    features = FeatureSet([feature])
    state = features.new()
    for event in events:
        observe(features, state, event)
    return values(features, state, events[-1], later)[0]
