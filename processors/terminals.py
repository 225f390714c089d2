"""What is known about a terminal: its traffic, and what its matured payments turned out to be."""

from math import nan

import msgspec

from processors.definitions import Feature
from processors.features import FeatureSet
from processors.trail import Span, Trail
from schemas.records import DAY
from schemas.results import CardFeatures, Label


def windowed(label_window: int = 7 * DAY) -> tuple[Feature, ...]:
    """Return the declared features of a terminal; outcomes count once `label_window` milliseconds have passed."""
    matured = [
        Feature(name=f"terminal_{what}_{days}d", entity="terminal", window=days * DAY, delay=label_window, **how)
        for what, how in (("count", {}), ("risk", {"aggregate": "rate", "of": "fraud"}))
        for days in (1, 7, 30)
    ]
    return (*matured, Feature(name="terminal_traffic_1d", entity="terminal", window=DAY))


DERIVED = (
    "terminal_risk_decayed_3d",
    "terminal_risk_decayed_10d",
    "terminal_fraud_run",
    "terminal_fraud_run_age_days",
    "terminal_cusum",
    "terminal_cusum_age_days",
    "terminal_days_since_fraud",
    "terminal_matured",
)
"""What is computed from matured outcomes beyond declared windows."""

HALF_LIVES = (3 * DAY, 10 * DAY)
PRIOR_RATE = 0.01
PRIOR_WEIGHT = 1.0
CUSUM_FRAUD = 4.25
CUSUM_GENUINE = -1.19
CUSUM_MOST = 12.0
"""Steps of a cumulative sum test of fraud rate .7 against .01: log(.7/.01), log(.3/.99), and its ceiling."""


class Outcomes(msgspec.Struct, gc=False):
    """Sums over a terminal's matured outcomes, decayed to `time`."""

    time: int = 0
    seen: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])
    frauds: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])
    run: int = 0
    run_since: int = -1
    cusum: float = 0.0
    cusum_since: int = -1
    matured: int = 0

    def add(self, time: int, fraud: bool) -> None:
        """Take in the next matured outcome of a payment made at `time`."""
        for at, half_life in enumerate(HALF_LIVES):
            decay = 0.5 ** ((time - self.time) / half_life)
            self.seen[at] = self.seen[at] * decay + 1.0
            self.frauds[at] = self.frauds[at] * decay + fraud
        self.time = time
        self.matured += 1
        self._run(time, fraud)
        before = self.cusum
        self.cusum = min(CUSUM_MOST, max(0.0, before + (CUSUM_FRAUD if fraud else CUSUM_GENUINE)))
        if not self.cusum:
            self.cusum_since = -1
        elif not before:
            self.cusum_since = time

    def _run(self, time: int, fraud: bool) -> None:
        if not fraud:
            self.run, self.run_since = 0, -1
            return
        self.run += 1
        if self.run == 1:
            self.run_since = time

    def rate(self, at: int) -> float:
        """Return the decayed fraud rate, drawn to the prior rate while little is known."""
        return (self.frauds[at] + PRIOR_RATE * PRIOR_WEIGHT) / (self.seen[at] + PRIOR_WEIGHT)


class Terminal(msgspec.Struct, gc=False):
    """Everything kept about one terminal. Outcomes of payments up to `settled_until` (milliseconds) have matured."""

    trails: list[Trail]
    outcomes: Outcomes
    settled_until: int = -1
    last_fraud: int = -1


class TerminalHistory:
    """Folds a terminal's payments and labels into features over matured outcomes.

    An outcome matures once the event time is `label_window` or more past the payment: fraud if a label has come by
    then, else genuine. A label that comes later corrects the outcomes as if it had been there in time.
    """

    def __init__(self, label_window: int = 7 * DAY) -> None:
        self.label_window = label_window
        self.features = FeatureSet(windowed(label_window))
        self.names = self.features.names + DERIVED
        self._fraud = self.features.groups[0].fraud_column or 0

    def new(self) -> Terminal:
        """Return the state of a terminal never seen."""
        return Terminal(trails=self.features.new(), outcomes=Outcomes())

    def observe(self, state: Terminal, payment: CardFeatures) -> list[float]:
        """Take in a payment; return the terminal's features at its time."""
        time = payment.event_time
        taken = self.features.observe(state.trails, time, payment.event_id, "", {"fraud": 0})
        if taken and time <= state.settled_until:
            state.outcomes.matured += 1
            self._settle_again(state)
        self._settle(state)
        return self._windowed(state.trails, time) + _derived(state, time)

    def _windowed(self, trails: list[Trail], time: int) -> list[float]:
        """Return the declared features; those of the newest event are read straight off the totals of its windows.

        That costs a third of reading each feature by its definition, which `values` does and which is what holds.
        """
        (trail,) = trails
        if time != trail.watched:
            return self.features.values(trails, time, "", {})
        day, week, month, today = trail.spans
        return [
            float(day.hi - day.lo),
            float(week.hi - week.lo),
            float(month.hi - month.lo),
            _rate(day),
            _rate(week),
            _rate(month),
            float(today.hi - today.lo),
        ]

    def learn(self, state: Terminal, label: Label) -> None:
        """Take in what an earlier payment turned out to be."""
        if not self.features.correct(state.trails, label.event_time, label.event_id, label.fraud):
            return
        if label.fraud:
            state.last_fraud = max(state.last_fraud, label.event_time)
        elif label.event_time == state.last_fraud:
            state.last_fraud = self._newest_fraud(state.trails[0])
        if label.event_time <= state.settled_until:
            self._settle_again(state)

    def _newest_fraud(self, trail: Trail) -> int:
        frauds = (time for time, row in zip(trail.times, trail.rows, strict=True) if row[self._fraud])
        return max(frauds, default=-1)

    def _settle(self, state: Terminal) -> None:
        trail = state.trails[0]
        times, matured = trail.times, trail.spans[0].hi
        if matured and times[matured - 1] > state.settled_until:
            for at in range(_first_after(trail, state.settled_until), matured):
                state.outcomes.add(times[at], bool(trail.rows[at][self._fraud]))
        state.settled_until = max(state.settled_until, trail.watched - self.label_window)

    def _settle_again(self, state: Terminal) -> None:
        """Fold the matured outcomes still at hand anew, since one of them has changed."""
        until, state.settled_until = state.settled_until, -1
        matured, state.outcomes = state.outcomes.matured, Outcomes()
        trail = state.trails[0]
        for time, row in zip(trail.times, trail.rows, strict=True):
            if time > until:
                break
            state.outcomes.add(time, bool(row[self._fraud]))
        state.outcomes.matured = matured
        state.settled_until = until


def _rate(span: Span) -> float:
    """Return the share of frauds among the events of a window, 0 where there are none."""
    total = span.totals.get("")
    return total[1] / total[0] if total and total[0] else 0.0


def _derived(state: Terminal, time: int) -> list[float]:
    outcomes = state.outcomes
    return [
        outcomes.rate(0),
        outcomes.rate(1),
        float(outcomes.run),
        (time - outcomes.run_since) / DAY if outcomes.run_since >= 0 else nan,
        outcomes.cusum,
        (time - outcomes.cusum_since) / DAY if outcomes.cusum_since >= 0 else nan,
        (time - state.last_fraud) / DAY if state.last_fraud >= 0 else nan,
        float(outcomes.matured),
    ]


def _first_after(trail: Trail, time: int) -> int:
    """Return the position of the first event later than `time`, looking from where the delayed windows end."""
    at = trail.spans[0].hi
    while at > 0 and trail.times[at - 1] > time:
        at -= 1
    return at
