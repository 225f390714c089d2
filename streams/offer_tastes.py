"""What the customers of a simulated world like: the catalogue, their profiles, and what nobody is told of them.

Whoever pays much at bookshops likes offers of books, and little spending makes a large minimum hard to reach, so that
payments tell of it; age bears on the kind. Beside that each customer has a taste and a liking for large rewards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.random import Generator, default_rng

from schemas.events import Event, Offer, Profile
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.topics import OFFERS, PROFILES
from streams.fraud_patterns import Floats, Ints
from streams.simulator import CATEGORIES, Population, World

DEALS = (("bogo", 8, 8, 7), ("discount", 3, 15, 5), ("discount", 12, 60, 10))
"""The offers of each category: the kind, the reward, the least spend, and for how many days it can be redeemed."""

EARNED = 2
"""What a redemption earns beyond its reward, of any offer: the one most likely to be redeemed is worth the most."""

CONSENT = "personal-offers"
"""What a customer must have agreed to for the last deal of each category; one in twenty has not."""


def catalogue(world: World) -> Iterator[AnyRecord]:
    """Yield the offers as they are when the world begins."""
    for category in CATEGORIES:
        for deal in range(len(DEALS)):
            yield record(OFFERS, _offer(world, category, deal))


def _offer(world: World, category: str, deal: int) -> Offer:
    kind, reward, minimum, days = DEALS[deal]
    offer = f"{category}-{deal}"
    return Offer(
        event_id=f"offer-{offer}",
        event_time=world.start,
        offer=offer,
        category=category,
        kind=kind,
        reward=str(reward),
        reward_unit=world.currency,
        minimum_spend=str(minimum),
        duration_days=days,
        margin=str(reward + EARNED),
        channels=("mobile", "email") if deal else ("mobile", "web"),
        shows_per_week=2,
        consent=CONSENT if deal == len(DEALS) - 1 else None,
    )


def profiles(world: World, tastes: "Tastes") -> Iterator[AnyRecord]:
    """Yield what is known of the customers."""
    for customer in range(world.customers):
        profile = Profile(
            event_id=f"profile-{customer:06d}",
            event_time=world.start,
            user=user(customer),
            opened=world.start - timedelta(days=int(tastes.tenure[customer])),
            age=float(tastes.age[customer]),
            income=float(tastes.income[customer]),
            gender="FM"[customer % 2],
            consent=(CONSENT,) if customer % 20 else (),
        )
        yield record(PROFILES, profile)


@dataclass(frozen=True, slots=True)
class Tastes:
    """Customers as columns, one entry each; `liking` has one column per offer, as the log-odds of redeeming it."""

    age: Ints
    income: Floats
    tenure: Ints
    liking: Floats

    @classmethod
    def of(cls, world: World) -> "Tastes":
        """Return the tastes in a world."""
        people, chance = Population.born(world), default_rng((world.seed, 2_000_000))
        age = np.clip(chance.normal(45, 15, world.customers), 18, 90).astype(np.int64)
        income = np.rint(400 * people.usual * chance.lognormal(1.0, 0.3, world.customers))
        tenure = chance.integers(0, 2_000, world.customers)
        likings = by_category(people, chance)[:, :, np.newaxis] + _by_deal(people, age, chance)[:, np.newaxis, :]
        return cls(age, income, tenure, likings.reshape(world.customers, -1))


def by_category(people: Population, chance: Generator) -> Floats:
    """Return how much each customer likes each category, as log-odds: the more, the more often they pay there."""
    visits = people.mcc[people.favourites]
    share = np.stack([(visits == code).mean(axis=1) for code in range(len(CATEGORIES))], axis=1)
    liking: Floats = np.log(0.3 + share * len(CATEGORIES)) + chance.normal(0, 0.7, share.shape)
    return liking


def _by_deal(people: Population, age: Ints, chance: Generator) -> Floats:
    customers, weekly = len(age), 7 * people.rate * people.usual
    reward, least, days = (np.array([deal[at] for deal in DEALS], np.float64) for at in (1, 2, 3))
    by_age = (age[:, np.newaxis] - 45) / 15 * np.array([1.5 if kind == "bogo" else -0.7 for kind, *_ in DEALS])
    greed = chance.normal(1.0, 0.7, (customers, 1)) * np.log(reward / 6)
    effort = np.log1p(least / (weekly[:, np.newaxis] * days / 7))
    odds: Floats = by_age + greed - 1.6 * effort - 0.4
    return odds


def number_of(offer: str) -> int:
    """Return the column of an offer.

    >>> number_of("groceries-0"), number_of("restaurants-2")
    (0, 5)
    """
    category, _, deal = offer.rpartition("-")
    return CATEGORIES.index(category) * len(DEALS) + int(deal)


def user(customer: int) -> str:
    """Return the id that a customer pays under."""
    return f"c{customer:06d}"


def record(topic: AnyTopic, message: Event) -> AnyRecord:
    """Return an event as a record, known by its id."""
    return Record(topic, message, message.event_id)
