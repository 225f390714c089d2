"""Offers, customers and what they do, as messages with defaults, and a small world of randomised sends."""

import random
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from online_models.offers import AdditiveRanker
from online_models.snapshots import digest
from processors.base import Tables
from processors.offer_features import FEATURES_ID, NAMES
from processors.offer_usage import OfferUsageCounter
from processors.offers import OfferRanker
from processors.ranker_learning import OfferLearner
from processors.rewards import OfferRewards
from schemas.events import Click, Event, Offer, OfferRequest, Profile, Transaction
from schemas.offer_results import OfferEvent, OfferExample, OfferUsage, RankedOffer, RankerVersion, Ranking
from schemas.offer_topics import OFFER_EVENTS, OFFER_EXAMPLES, OFFER_USAGE, RANKERS, RANKINGS
from schemas.records import DAY, AnyRecord, AnyTopic, Record
from schemas.results import ModelOrder
from schemas.topics import CLICKS, MODEL_ORDERS, OFFER_REQUESTS, OFFERS, PROFILES, TRANSACTIONS
from streams.pipeline import Pipeline
from tests.builders import HOUR, NOON, base64, moment, signed, transaction, verified

TOPICS: dict[type, AnyTopic] = {
    ModelOrder: MODEL_ORDERS,
    Click: CLICKS,
    Offer: OFFERS,
    Profile: PROFILES,
    OfferRequest: OFFER_REQUESTS,
    Transaction: TRANSACTIONS,
    Ranking: RANKINGS,
    OfferEvent: OFFER_EVENTS,
    OfferExample: OFFER_EXAMPLES,
    RankerVersion: RANKERS,
}


def record(message: Any) -> AnyRecord:
    """Return a message as a record of its topic, known by its event id."""
    return Record(TOPICS[type(message)], message, message.event_id)


def offer(name: str = "coffee", **changed: Any) -> Offer:
    """Return a bogo open for five days that takes a spend of 10.00."""
    fields: dict[str, Any] = {"kind": "bogo", "reward": "10", "minimum_spend": 10, "duration_days": 5}
    fields |= {"channels": ["web", "email"], "event_time": moment(NOON)}
    return Offer(event_id=f"offer-{name}", offer=name, **fields | changed)


def profile(at: int = NOON, **changed: Any) -> Profile:
    """Return the profile of somebody who has been a customer for a hundred days."""
    fields: dict[str, Any] = {"event_id": "profile-ann", "user": "ann", "opened": moment(at - 100 * DAY)}
    return Profile(event_time=moment(at), **fields | {"age": 40, "income": 60_000.0, "gender": "F"} | changed)


def click(kind: str, at: int = NOON, **changed: Any) -> Click:
    """Return something a customer did with the offer `coffee`; an impression is of the decision `d-1`."""
    fields: dict[str, Any] = {"user": "ann", "offer": "coffee", "event_id": f"{kind}-{at}"}
    fields |= {"decision_id": "d-1", "propensity": 0.1} if kind == "impression" else {}
    return Click(kind=kind, event_time=moment(at), **fields | changed)


def payment(at: int = NOON, amount: str = "5.00", event_id: str = "", **changed: Any) -> Transaction:
    """Return a payment, known by its time unless it has an id."""
    return transaction(event_id or f"tx-{at}", at, amount=amount, **changed)


def request(decision: str = "d-1", at: int = NOON, **changed: Any) -> OfferRequest:
    """Return the question which of the whole catalogue to show to `ann` in three slots."""
    return OfferRequest(event_id=decision, event_time=moment(at), **{"user": "ann"} | changed)


def slot(name: str = "coffee", at: int = NOON, **changed: Any) -> RankedOffer:
    """Return an offer in a slot of a ranking, which can be redeemed for five days."""
    fields: dict[str, Any] = {"score": 0.4, "value": 0.4, "propensity": 0.1, "window_end": at + 5 * DAY}
    return RankedOffer(offer=name, **fields | {"vector": (1.0, float("nan"))} | changed)


def ranking(at: int = NOON, *slots: RankedOffer, **changed: Any) -> Ranking:
    """Return the decision `d-1` of somebody else to show `coffee`, unless slots are given."""
    fields: dict[str, Any] = {"event_id": "d-1", "user": "ann", "slots": slots or (slot(at=at),), "version": 3}
    fields |= {"candidates": ("coffee",), "scores": (0.4,), "source": "model", "model": "offers"}
    return Ranking(event_time=at, **fields | {"policy": "logged", "features": "f", "shown": True} | changed)


def offer_example(number: int = 1, **changed: Any) -> OfferExample:
    """Return what became of a decision, with a vector that has as many numbers as a ranker's."""
    fields: dict[str, Any] = {"model": "offers", "user": "ann", "offer": "coffee", "label": bool(number % 3 == 0)}
    fields |= {"matured_at": NOON + number, "score": 0.4, "version": 1, "features": FEATURES_ID, "propensity": 0.1}
    vector = tuple(float((number * at) % 7 + (number % 3 == 0)) for at in range(len(NAMES)))
    return OfferExample(event_id=f"d-{number}", event_time=NOON - DAY + number, **fields | {"vector": vector} | changed)


def version(ranker: AdditiveRanker, **changed: Any) -> RankerVersion:
    """Return a ranker as it is published: signed, as version 1 of the model `offers`."""
    blob = signed(ranker.snapshot())
    fields: dict[str, Any] = {"model": "offers", "version": 1, "digest": digest(blob), "blob": base64(blob)}
    fields |= {"features": FEATURES_ID, "examples": 300, "rewarded": 90, "learned_through": NOON}
    return RankerVersion(event_id="offers@1", event_time=NOON, **fields | changed)


def taught(examples: int = 300) -> AdditiveRanker:
    """Return a ranker that has learned so many examples."""
    model = AdditiveRanker(NAMES)
    for number in range(examples):
        each = offer_example(number)
        model.learn_one(np.array(each.vector, dtype=np.float64), each.label)
    return model


def usage(name: str = "coffee", **changed: Any) -> OfferUsage:
    """Return how often an offer has been shown and redeemed, ten times and twice, and what that has cost."""
    fields: dict[str, Any] = {"impressions": 10, "redemptions": 2, "spent": 20.0}
    return OfferUsage(event_id="e", event_time=NOON, offer=name, **fields | changed)


def tables(*offers: Offer, ranker: RankerVersion | None = None, used: Iterable[OfferUsage] = ()) -> Tables:
    """Return a catalogue, the newest version of the ranker, and what has been used."""
    catalogue = {OFFERS.key(each): each for each in offers or (offer(),)}
    usages = {OFFER_USAGE.key(each): each for each in used}
    return {OFFERS: catalogue, RANKERS: {} if ranker is None else {"offers": ranker}, OFFER_USAGE: usages}


def pipeline(**settings: Any) -> Pipeline:
    """Return the pipeline of offers, which publishes often."""
    ranker = OfferRanker(verified, **settings)
    return Pipeline((ranker, OfferUsageCounter(), OfferRewards(), OfferLearner(signed, verified, every=20)))


CATALOGUE = (
    offer("coffee", channels=["web", "email", "social"]),
    offer("cake", kind="discount", reward="3", minimum_spend=7, duration_days=3),
    offer("beans", kind="discount", reward="5", minimum_spend=20, duration_days=7),
    offer("news", kind="informational", reward="0", minimum_spend=0, duration_days=2),
)


def world(customers: int = 60, waves: int = 10, seed: int = 1) -> list[AnyRecord]:
    """Return a stream of weekly sends with what came of them, in order of time."""
    rng = random.Random(seed)
    happened = [each for user in range(customers) for each in _life(rng, f"u{user}", waves)]
    happened.sort(key=lambda event: (event.time_ms(), event.event_id))
    return [record(each) for each in (*CATALOGUE, *happened)]


def asking_world(customers: int = 25, waves: int = 10, seed: int = 2) -> list[AnyRecord]:
    """Return a stream of requests, each for three offers of which the customer is shown some, with what came of them.

    Some impressions are of other decisions, some clicks come twice, some redemptions name their decision alone, and
    some are taken back.
    """
    rng = random.Random(seed)
    happened = [each for user in range(customers) for each in _asking_life(rng, f"u{user}", waves)]
    happened.sort(key=lambda event: event.time_ms())
    return [record(each) for each in (*SCARCE, *happened)]


SCARCE = (
    offer("coffee", category="drinks", shows_per_week=2, margin="20", cost="5"),
    offer("cake", kind="discount", reward="3", minimum_spend=7, category="food", stock=10, margin="9", cost="3"),
    offer("beans", kind="discount", category="drinks", budget="120", cost="10", margin="25", cool_down_days=10),
    offer("tea", category="drinks", segments=["gold"], exclusive_of=["coffee"], margin="15", cost="2"),
    offer("news", kind="informational", reward="0", minimum_spend=0, duration_days=2, margin="1", cost="0"),
)
"""A catalogue in which every sort of limit comes to bear."""


def _asking_life(rng: random.Random, user: str, waves: int) -> Iterator[Event]:
    keen = rng.random()
    yield profile(NOON - HOUR, event_id=f"profile-{user}", user=user, segment=rng.choice(("gold", "silver")))
    for wave in range(waves):
        at, name = NOON + 3 * wave * DAY + rng.randrange(24) * HOUR, f"{user}-{wave}"
        yield request(f"d-{name}", at, user=user)
        for number, chosen in enumerate(rng.sample(SCARCE, 3)):
            decision = rng.choice((f"d-{name}", f"d-{name}", f"elsewhere-{name}-{number}"))
            about = partial(click, user=user, offer=chosen.offer, decision_id=decision)
            for kind, chance in (("impression", 0.9), ("view", 0.7), ("redemption", keen)):
                of: dict[str, Any] = {"offer": None} if kind == "redemption" and wave % 3 == 0 else {}
                happened = about(kind, at + rng.randrange(1, 40) * HOUR, event_id=f"{kind}-{name}-{number}", **of)
                if rng.random() < chance:
                    yield from [happened] * rng.choice((1, 1, 2))
                    if kind == "redemption" and (wave + number) % 4 == 0:
                        yield about("reversal", happened.time_ms() + HOUR, event_id=f"reversal-{name}-{number}")
        yield payment(at + rng.randrange(1, 60) * HOUR, event_id=f"tx-{name}", user=user)


def _life(rng: random.Random, user: str, waves: int) -> Iterator[Event]:
    keen = rng.random()
    yield profile(NOON, event_id=f"profile-{user}", user=user, age=20 + round(50 * keen), gender=rng.choice("FMO"))
    for wave in range(waves):
        sent, chosen = NOON + 7 * wave * DAY, rng.choice(CATALOGUE).offer
        about = partial(click, user=user, offer=chosen)
        name = f"{user}-{wave}"
        yield about("impression", sent, event_id=f"send-{name}", decision_id=f"d-{name}")
        if rng.random() < 0.8:
            yield about("view", sent + rng.randrange(48) * HOUR, event_id=f"view-{name}")
        for paid in range(rng.randrange(4)):
            yield payment(sent + rng.randrange(6 * 24) * HOUR, event_id=f"tx-{name}-{paid}", user=user)
        if chosen != "news" and rng.random() < keen:
            yield about("redemption", sent + rng.randrange(6 * 24) * HOUR, event_id=f"redeemed-{name}")
