"""Habits: what a customer spends by merchant category, and what they told to like."""

from bisect import bisect_left
from typing import NamedTuple

import msgspec

from schemas.events import Profile, Transaction
from schemas.money import minor_units
from schemas.records import DAY

CATEGORIES = 16
"""Most merchant categories of a customer that are remembered; what was paid in longest ago goes first."""

DAYS = 90
MONTH = 30
PERSONAL = "personalisation"
"""The consent in a profile without which its preferences are not even kept."""

Day = tuple[int, int, int]
"""A day since 1970, how many payments it had, and their sum in minor units."""


class Spending(msgspec.Struct, array_like=True):
    """What a customer paid in one category, by day of the last `DAYS` days, in the one unit last paid in."""

    unit: str
    days: list[Day] = []

    def add(self, time: int, unit: str, amount: int) -> None:
        """Take in a payment; another unit starts anew."""
        if unit != self.unit:
            self.unit, self.days = unit, []
        day = time // DAY
        known = {each[0]: each for each in self.days}
        _, count, total = known.get(day, (day, 0, 0))
        known[day] = (day, count + 1, total + amount)
        newest = max(known)
        self.days = [known[each] for each in sorted(known) if each > newest - DAYS]

    def count(self, time: int, days: int) -> int:
        """Return how many payments so many days had up to that of `time`."""
        return sum([count for _, count, _ in self._within(time // DAY + 1, days)])

    def total(self, time: int, days: int, before: int = 0) -> int:
        """Return what was spent in so many days up to that of `time`, or up to `before` days before it."""
        return sum([total for _, _, total in self._within(time // DAY + 1 - before, days)])

    def _within(self, end: int, days: int) -> list[Day]:
        known = self.days
        return known[bisect_left(known, (end - days, 0, 0)) : bisect_left(known, (end, 0, 0))]


class Trend(NamedTuple):
    """What was spent in the last days, and in as many days before that on average; minor units of `unit`."""

    now: int
    usual: float
    unit: str


class Habits(msgspec.Struct, array_like=True):
    """A customer's spending by merchant category, and how much they told to like a category or kind, in [0, 1]."""

    spending: dict[str, Spending] = {}
    likes: dict[str, float] = {}

    def pay(self, payment: Transaction) -> None:
        """Take in a payment; one without a category is left out."""
        category = category_of(payment)
        if category is None:
            return
        known = self.spending.pop(category, None) or Spending(payment.currency)
        known.add(payment.time_ms(), payment.currency, minor_units(payment.amount, payment.currency))
        self.spending[category] = known
        if len(self.spending) > CATEGORIES:
            del self.spending[next(iter(self.spending))]

    def tell(self, profile: Profile) -> None:
        """Take in the preferences of a profile, which its consent must allow; without it none are kept."""
        self.likes = {}
        if PERSONAL not in profile.consent:
            return
        for name, answer in profile.preferences.items():
            if isinstance(answer, str):
                self.likes[answer] = 1.0
            else:
                self.likes[name] = answer

    def shares(self, time: int) -> dict[str, float]:
        """Return the share in [0, 1] of the payments of 90 days that were made in each category; none for none."""
        counts = {name: spent.count(time, DAYS) for name, spent in self.spending.items()}
        total = sum(counts.values())
        return {name: count / total for name, count in counts.items() if count}

    def trend(self, category: str, time: int, days: int = MONTH) -> Trend | None:
        """Return the trend of a category; None while fewer than so many days before the last ones are known."""
        spent = self.spending.get(category)
        if spent is None or not spent.days:
            return None
        known = min(DAYS, time // DAY - spent.days[0][0] + 1) - days
        if known < days:
            return None
        before = spent.total(time, known, before=days)
        return Trend(spent.total(time, days), before * days / known, spent.unit)

    def days_since(self, category: str, time: int) -> int | None:
        """Return how many days before that of `time` the last payment in a category was; None where none is known."""
        spent = self.spending.get(category)
        return None if spent is None or not spent.days else max(0, time // DAY - spent.days[-1][0])

    def liking(self, category: str, kind: str) -> float | None:
        """Return how much the customer told to like an offer of a category and kind, in [0, 1]; None for not told."""
        told = [self.likes[name] for name in (category, kind) if name in self.likes]
        return max(told, default=None)


def category_of(payment: Transaction) -> str | None:
    """Return the merchant category that a payment tells: a field `category` of its own, else its `mcc`."""
    told = (payment.model_extra or {}).get("category")
    return told if isinstance(told, str) and told else payment.mcc
