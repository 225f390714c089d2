"""A customer's past as numbers: what is usual, what surprised, what is new, how far away the last payment was."""

from math import asin, cos, exp, log, nan, radians, sin, sqrt

import msgspec

from schemas.events import Transaction
from schemas.records import DAY

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
_HALVING = -log(2)


class Usual(msgspec.Struct, array_like=True, gc=False):
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
        mean, deviation = self.mean, self.deviation
        least = LEAST_DEVIATION * mean
        return (value - mean) / ((deviation if deviation > least else least) + LEAST_AMOUNT)

    def log_ratio(self, value: float) -> float:
        """Return log of `value` over the mean of its past; NaN before three values."""
        return nan if self.count < 3 else log((value + 1.0) / (self.mean + 1.0))

    def add(self, value: float) -> None:
        """Take in one value."""
        count, mean = self.count + 1, self.mean
        if count > 10:
            reach = WINSOR * (self.deviation + LEAST_DEVIATION * mean)
            value = min(max(value, mean - reach), mean + reach)
        step = value - mean
        mean += step / count
        self.count, self.mean = count, mean
        self.m2 += step * (value - mean)
        if count > 1:
            self.deviation = sqrt(self.m2 / (count - 1))


class Surprise(msgspec.Struct, gc=False):
    """A payment unlike the customer's past that nobody has explained yet."""

    time: int
    event_id: str
    z: float


def log_ratio_to_mean(amount: float, mean: float, count: float) -> float:
    """Return log of an amount over the mean of the others that `mean` and `count` include it with; NaN without any."""
    if count < 2:
        return nan
    before = (mean * count - amount) / (count - 1)
    return log((amount + 1.0) / (max(before, 0.0) + 1.0))


def log_ratio_to_max(peaks: list[tuple[int, float]], time: int, amount: float) -> float:
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


def surprises_of(unexplained: list[Surprise], time: int) -> tuple[float, float]:
    """Return how many surprises of 14 days nobody has explained, and the largest z among them."""
    if not unexplained:
        return 0.0, 0.0
    recent = [surprise.z for surprise in unexplained if surprise.time > time - SURPRISE_SPAN]
    return float(len(recent)), max(recent, default=0.0)


def known_frauds(frauds: list[tuple[int, bool]], time: int) -> tuple[float, float]:
    """Return the weight of known frauds (time, whether it surprised), halved every 7 days: all, and surprising ones."""
    if not frauds:
        return 0.0, 0.0
    known: float = 0
    surprised: float = 0
    for at, surprising in frauds:
        weight = exp(_HALVING * (time - at) / FRAUD_HALF_LIFE)
        known += weight
        if surprising:
            surprised += weight
    return known, surprised


class Known(msgspec.Struct, array_like=True, gc=False):
    """The values seen so far, and no more than the last 64 that were new.

    They lie in one text, each behind a line break and with one after the last: it is found in, stored and restored in a
    fraction of what a list of texts takes.
    """

    text: str = "\n"
    count: int = 0

    def __len__(self) -> int:
        return self.count

    def is_new(self, value: str) -> float:
        """Return 1 when a value was never seen, 0 when it was; and remember it."""
        line = value.replace("\\", "\\\\").replace("\n", "\\n")
        if f"\n{line}\n" in self.text:
            return 0.0
        self.text += f"{line}\n"
        self.count += 1
        if self.count > REMEMBERED:
            self.text = self.text[self.text.index("\n", 1) :]
            self.count -= 1
        return 1.0


class Place(msgspec.Struct, array_like=True, gc=False):
    """Where a payment was made, in degrees, and when, in milliseconds."""

    time: int
    latitude: float
    longitude: float

    @classmethod
    def of(cls, payment: Transaction, time: int) -> "Place | None":
        """Return where a payment was made; None when it does not say."""
        if payment.latitude is None or payment.longitude is None:
            return None
        return cls(time, payment.latitude, payment.longitude)


def speed(last: Place | None, now: Place | None) -> float:
    """Return the km/h needed from one place to the next (at least a minute apart); NaN without two places."""
    if last is None or now is None:
        return nan
    hours = max(abs(now.time - last.time) / 3_600_000, 1 / 60)
    return distance_km(last.latitude, last.longitude, now.latitude, now.longitude) / hours


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance in kilometres of two places in degrees.

    >>> round(distance_km(48.85, 2.35, 51.51, -0.13))
    344
    """
    half_north = radians(other_latitude - latitude) / 2
    half_east = radians(other_longitude - longitude) / 2
    chord = sin(half_north) ** 2 + cos(radians(latitude)) * cos(radians(other_latitude)) * sin(half_east) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(chord)))
