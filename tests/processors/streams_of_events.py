"""Hypothesis strategies: features of every kind, and a key's events in any order with labels between them."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from processors.definitions import Feature, Where
from tests.processors.naive_features import DAY, HOUR, MINOR, Event

LATENESS = 7 * DAY
WINDOWS = (60_000, HOUR, 12 * HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY, None)
FILTERS = (
    None,
    Where(field="channel", equals="online"),
    Where(field="amount", at_least=2),
    Where(field="latitude", at_least=0, below=50),
)
NUMBERS = ("sum", "mean", "std", "min", "max", "first", "last", "distinct")


@dataclass(frozen=True)
class Payment:
    """The next step is an event."""

    event: Event


@dataclass(frozen=True)
class Told:
    """The next step is a label on the event that came `back` events ago."""

    back: int
    fraud: bool


Step = Payment | Told


@st.composite
def windowed_features(draw: st.DrawFn, exact: bool = True) -> Feature:
    """A feature of any aggregate over any window, delay and filter, without its name."""
    of, aggregates = draw(
        st.sampled_from(
            [
                (None, ("count", "since_last")),
                ("amount", (*NUMBERS, "count", "since_last")),
                ("fraud", ("rate", "sum", "max", "min", "std", *(("first", "last") if exact else ()))),
                ("latitude", (*NUMBERS, "count", "since_last")),
                ("mcc", ("distinct", "count")),
            ]
        )
    )
    filters = FILTERS if exact or of != "fraud" else (None,)
    return Feature(
        name="nameless",
        aggregate=draw(st.sampled_from(aggregates)),
        of=of,
        window=draw(st.sampled_from(WINDOWS)),
        delay=draw(st.sampled_from((0, 0, HOUR, 7 * DAY))),
        where=draw(st.sampled_from(filters)),
        ttl=draw(st.sampled_from((None, None, 2 * HOUR))),
        empty=draw(st.sampled_from((0.0, -1.0))),
        exact=exact,
    )


@st.composite
def declarations(draw: st.DrawFn, exact: bool = True) -> tuple[Feature, ...]:
    """One to six features with names of their own."""
    features = draw(st.lists(windowed_features(exact), min_size=1, max_size=6))
    return tuple(feature.model_copy(update={"name": f"f{at}"}) for at, feature in enumerate(features))


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Events that mostly come in order, sometimes late and sometimes too late, with labels told between them."""
    gaps = st.sampled_from((0, 0, 1, 1_000, 59_000, 60_000, HOUR - 1, HOUR, 5 * HOUR, DAY, 8 * DAY, 40 * DAY))
    behind = st.sampled_from((0, 0, 0, 1_000, HOUR, DAY, LATENESS, LATENESS + 1))
    steps: list[Step] = []
    newest = draw(st.integers(20_000 * DAY, 20_001 * DAY))
    for number in range(draw(st.integers(1, 25))):
        newest += draw(gaps)
        steps.append(Payment(Event(newest - draw(behind), str(number), *draw(_CONTENTS))))
        if draw(st.integers(0, 3)) == 0:
            steps.append(Told(draw(st.integers(0, number)), draw(st.booleans())))
    return steps


def _fields(mcc: str | None, channel: str | None, latitude: float | None) -> dict[str, Any]:
    return {"mcc": mcc, "channel": channel, "latitude": latitude}


_CONTENTS = st.tuples(
    st.sampled_from(tuple(MINOR)),
    st.integers(0, 5_000),
    st.builds(
        _fields,
        st.sampled_from((None, "5411", "5812", "7995")),
        st.sampled_from((None, "online", "chip")),
        st.sampled_from((None, -33.8688, 0.0, 48.8566, 59.9139)),
    ),
)
