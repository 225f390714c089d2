"""Facts of an event time that need no state: hour, weekday, weekend, night. All in UTC."""

from collections.abc import Callable

from schemas.records import DAY

HOUR = 3_600_000
NIGHT_UNTIL_HOUR = 6
"""Night is 00:00 up to and including this hour, as in the Fraud Detection Handbook."""


def weekday(time: int) -> int:
    """Return the day of the week, Monday = 0.

    >>> weekday(0)  # 1970-01-01 was a Thursday
    3
    """
    return (time // DAY + 3) % 7


def hour(time: int) -> int:
    """Return the hour of the day, 0–23."""
    return time % DAY // HOUR


CALENDAR: dict[str, Callable[[int], float]] = {
    "weekend": lambda time: float(weekday(time) >= 5),
    "night": lambda time: float(hour(time) <= NIGHT_UNTIL_HOUR),
    "hour": lambda time: float(hour(time)),
    "weekday": lambda time: float(weekday(time)),
}
"""The facts that a feature can declare as its `calendar`, each of a time in milliseconds since 1970 UTC."""
