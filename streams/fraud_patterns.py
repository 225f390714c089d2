"""How simulated fraud is done: each pattern takes a day's payments and returns them with its frauds."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from schemas.records import DAY

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MINUTE = 60_000
TERMINAL_DAYS = 28
CUSTOMER_DAYS = 14
_SPOILED_SHARE = 0.6
_STOLEN_SHARE = 1 / 3
_BURST = (4, 12)
_MEAN_BURST = 9.0


class Pattern(IntEnum):
    """What a payment is: genuine, or fraud of one of five patterns."""

    GENUINE = 0
    LARGE = 1
    TERMINAL = 2
    CUSTOMER = 3
    TESTING = 4
    TRAVEL = 5


@dataclass(frozen=True, slots=True)
class Payments:
    """Payments as columns: milliseconds since the day began, indices, amounts in the currency's unit, patterns.

    `device` is 0 for the customer's own, else the number of a stranger's.
    """

    time: Ints
    customer: Ints
    terminal: Ints
    amount: Floats
    pattern: Ints
    device: Ints

    def __len__(self) -> int:
        return len(self.time)

    def at(self, rows: Ints) -> Self:
        """Return these rows."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__slots__))

    def and_(self, other: Self) -> Self:
        """Return these payments followed by others."""
        return type(self)(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Places:
    """What a fraudster sees: which terminals sell online, the city of each, and each customer's usual amount."""

    online: Ints
    terminal_city: Ints
    customer_city: Ints
    usual: Floats


@dataclass(slots=True)
class Compromised:
    """Until which day each terminal and each customer is in a fraudster's hands."""

    terminals: Ints
    customers: Ints


@dataclass(frozen=True, slots=True)
class Crime:
    """One day's crime: the day, how many frauds of each pattern are expected, and where chance comes from."""

    day: int
    expected: Floats
    places: Places
    chance: Generator

    def commit(self, payments: Payments, compromised: Compromised) -> Payments:
        """Return the day's payments with frauds of every pattern. Advances who is compromised."""
        payments = self._terminals(payments, compromised)
        payments = self._customers(payments, compromised)
        payments = self._large(payments)
        return payments.and_(self._testing(payments)).and_(self._travel(payments))

    def _terminals(self, payments: Payments, compromised: Compromised) -> Payments:
        held = compromised.terminals
        busy = len(payments) / len(held) * _SPOILED_SHARE
        self._spread(held, self.expected[Pattern.TERMINAL] / max(busy, 1e-9), TERMINAL_DAYS)
        spoiled = (held[payments.terminal] > self.day) & (self.chance.random(len(payments)) < _SPOILED_SHARE)
        return _marked(payments, spoiled, Pattern.TERMINAL)

    def _customers(self, payments: Payments, compromised: Compromised) -> Payments:
        held = compromised.customers
        busy = len(payments) / len(held) * _STOLEN_SHARE
        self._spread(held, self.expected[Pattern.CUSTOMER] / max(busy, 1e-9), CUSTOMER_DAYS)
        stolen = (held[payments.customer] > self.day) & (self.chance.random(len(payments)) < _STOLEN_SHARE)
        return _marked(payments, stolen, Pattern.CUSTOMER, 5.0)

    def _spread(self, held: Ints, wanted: float, days: int) -> None:
        """Compromise enough to keep `wanted` of them held on average; on the first day, as if it had always been so."""
        first = self.day == 0
        chosen = self.chance.integers(0, len(held), self.chance.poisson(wanted if first else wanted / days))
        held[chosen] = self.day + (self.chance.integers(1, days + 1, len(chosen)) if first else days)

    def _large(self, payments: Payments) -> Payments:
        share = self.expected[Pattern.LARGE] / max(len(payments), 1)
        taken = self.chance.random(len(payments)) < share
        return _marked(payments, taken, Pattern.LARGE, self.chance.uniform(6, 15, len(payments)))

    def _testing(self, payments: Payments) -> Payments:
        """Stolen cards tried with small amounts at one online shop within minutes, then used once in full."""
        victims = self._victims(payments, self.expected[Pattern.TESTING] / _MEAN_BURST)
        tries = self.chance.integers(*_BURST, len(victims), endpoint=True) + 1
        bursts = victims.at(np.repeat(np.arange(len(victims)), tries))
        nth = np.arange(len(bursts)) - np.repeat(np.cumsum(tries) - tries, tries)
        last = nth == np.repeat(tries - 1, tries)
        usual = self.places.usual[bursts.customer]
        small = self.chance.uniform(0.5, 3.0, len(bursts))
        shops = self.chance.choice(self.places.online, len(victims))
        return replace(
            bursts,
            time=bursts.time + MINUTE + nth * 20_000 + self.chance.integers(0, 15_000, len(bursts)),
            terminal=np.repeat(shops, tries),
            amount=np.where(last, usual * self.chance.uniform(4, 8, len(bursts)), small),
            pattern=np.full(len(bursts), int(Pattern.TESTING)),
            device=np.repeat(self._strangers(len(victims)), tries),
        )

    def _travel(self, payments: Payments) -> Payments:
        """A copied card used with another device in another city, minutes after its owner paid at home."""
        victims = self._victims(payments, self.expected[Pattern.TRAVEL])
        terminals = self.chance.integers(0, len(self.places.terminal_city), len(victims))
        away = self.places.terminal_city[terminals] != self.places.customer_city[victims.customer]
        trips = replace(
            victims,
            time=victims.time + self.chance.integers(5 * MINUTE, 60 * MINUTE, len(victims)),
            terminal=terminals,
            amount=self.places.usual[victims.customer] * self.chance.uniform(1, 4, len(victims)),
            pattern=np.full(len(victims), int(Pattern.TRAVEL)),
            device=self._strangers(len(victims)),
        )
        return trips.at(np.flatnonzero(away))

    def _victims(self, payments: Payments, wanted: float) -> Payments:
        early = np.flatnonzero(payments.time < DAY - 90 * MINUTE)
        return payments.at(self.chance.choice(early, self.chance.poisson(wanted)) if len(early) else early)

    def _strangers(self, number: int) -> Ints:
        return self.chance.integers(1, 1_000_000, number)


def _marked(payments: Payments, taken: NDArray[np.bool_], pattern: Pattern, times: float | Floats = 1.0) -> Payments:
    return replace(
        payments,
        amount=np.where(taken, payments.amount * times, payments.amount),
        pattern=np.where(taken, int(pattern), payments.pattern),
    )
