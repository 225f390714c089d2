"""Customers of a simulated world who ask what offers there are for them, and answer what they are shown.

It is a closed loop: what is shown is what the pipeline has ranked, and what it learns from is what came of that.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain

import numpy as np
from numpy.random import Generator, default_rng

from online_models.slots import seed_of
from schemas.events import Click, OfferRequest
from schemas.offer_results import OfferExample, Ranking
from schemas.records import DAY, AnyRecord
from schemas.topics import CLICKS, OFFER_REQUESTS
from streams.ahead import Ahead, interleaved
from streams.fraud_patterns import Floats
from streams.offer_tastes import Tastes, catalogue, number_of, profiles, record, user
from streams.simulator import World

ATTENTION = (0.9, 0.7, 0.55, 0.4, 0.3)
"""The chance that a customer looks at a slot, from the top; those further down have the last one."""

BLIND = 0.03
"""The chance that an offer nobody looked at is redeemed by a purchase that happens to fit it."""

TIRED_DAYS = 10.0
"""After so many days a customer is half as tired of an offer as when it was shown."""

TIRING = 0.7
"""By how much being shown lowers the log-odds that an offer is redeemed the next time."""

SECOND, HOUR = 1_000, 3_600_000


class Customers:
    """The customers of a world: each asks for offers now and then, and looks at the rankings it hears of.

    The same world and the same rankings give the same events, byte for byte.
    """

    def __init__(self, world: World, requests_per_day: float = 0.1, slots: int = 3) -> None:
        self._seed = world.seed
        self._tastes = Tastes.of(world)
        self._requests = _requests(world, requests_per_day, slots)
        self._ahead = Ahead()
        self._unanswered: set[str] = set()
        self._tired: dict[tuple[int, int], tuple[float, int]] = {}
        self._by_chance: dict[tuple[str, str], float] = {}
        self._learned: list[float] = []
        for each in chain(catalogue(world), profiles(world, self._tastes)):
            self._ahead.add(each)
        self._ask()

    @property
    def random_rate(self) -> float | None:
        """The chance that an offer drawn from the candidates would have been seen, then redeemed; None before any.

        It is the mean over the slots that have been learned from, each at its moment: what a ranker is compared with.
        """
        return float(np.mean(self._learned)) if self._learned else None

    @property
    def waiting(self) -> int:
        """How many requests have no ranking yet."""
        return len(self._unanswered)

    def among(self, records: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
        """Yield records, which come by time, and between them what the customers do; end with the records."""
        return interleaved(records, self.until)

    def until(self, time: int) -> Iterator[AnyRecord]:
        """Yield what the customers do up to a time (milliseconds) and has not been yielded yet."""
        for each in self._ahead.until(time):
            if each.topic is OFFER_REQUESTS:
                self._unanswered.add(each.id)
                self._ask()
            yield each

    def hear(self, said: AnyRecord) -> None:
        """Take in what the pipeline says: an answer is looked at, once, and an example is one more to compare."""
        match said.message:
            case Ranking(shown=False) as ranking if ranking.event_id in self._unanswered:
                self._unanswered.remove(ranking.event_id)
                self._look(ranking)
            case OfferExample() as example:
                if (by_chance := self._by_chance.pop((example.decision, example.offer), None)) is not None:
                    self._learned.append(by_chance)

    def _ask(self) -> None:
        if (request := next(self._requests, None)) is not None:
            self._ahead.add(request)

    def _look(self, ranking: Ranking) -> None:
        customer, time = int(ranking.user[1:]), ranking.event_time
        chance = default_rng(seed_of(self._seed, ranking.event_id))
        candidates = [number_of(offer) for offer in ranking.candidates]
        keen = self._keenness(customer, candidates, time)
        for position, slot in enumerate(ranking.slots):
            offer = number_of(slot.offer)
            attention = ATTENTION[min(position, len(ATTENTION) - 1)]
            self._by_chance[ranking.event_id, slot.offer] = attention * float(keen.mean())
            seen = bool(chance.random() < attention)
            taken = bool(chance.random() < (keen[candidates.index(offer)] if seen else BLIND))
            for each in _answers(ranking, position, (seen, taken), chance):
                self._ahead.add(each)
            self._tired[customer, offer] = (self._tiredness(customer, offer, time) + 1.0, time)

    def _keenness(self, customer: int, offers: list[int], time: int) -> Floats:
        """Return the chance that a customer who looks at each of the offers redeems it."""
        tired = np.array([self._tiredness(customer, offer, time) for offer in offers])
        chances: Floats = 1.0 / (1.0 + np.exp(TIRING * tired - self._tastes.liking[customer, offers]))
        return chances

    def _tiredness(self, customer: int, offer: int, time: int) -> float:
        tired, at = self._tired.get((customer, offer), (0.0, time))
        return float(tired * 0.5 ** ((time - at) / (TIRED_DAYS * DAY)))


def _requests(world: World, per_day: float, slots: int) -> Iterator[AnyRecord]:
    """Yield the requests of all customers by time; each asks so often a day on average."""
    start, number = round(world.start.timestamp() * 1000), 0
    for day in range(world.days):
        chance = default_rng((world.seed, 3_000_000 + day))
        customers = chance.permutation(np.repeat(np.arange(world.customers), chance.poisson(per_day, world.customers)))
        times = np.sort(chance.integers(8 * HOUR, 22 * HOUR, len(customers))) + start + day * DAY
        for customer, time in zip(customers.tolist(), times.tolist(), strict=True):
            asked = {"event_id": f"ask-{number:08d}", "event_time": _moment(time), "user": user(customer)}
            yield record(OFFER_REQUESTS, OfferRequest(**asked, slots=slots))
            number += 1


def _answers(ranking: Ranking, position: int, made: tuple[bool, bool], chance: Generator) -> Iterator[AnyRecord]:
    """Yield what comes of a slot: it is shown at once, perhaps seen within hours, and perhaps redeemed within days."""
    seen, taken = made
    shown = ranking.event_time + SECOND
    viewed = shown + round(min(chance.exponential(2 * HOUR), 0.2 * DAY))
    redeemed = viewed + round(chance.beta(1.2, 2.5) * (ranking.slots[position].window_end - viewed))
    yield _click(ranking, position, "impression", shown)
    if seen:
        yield _click(ranking, position, "view", viewed)
    if taken:
        yield _click(ranking, position, "redemption", redeemed)


def _click(ranking: Ranking, position: int, kind: str, time: int) -> AnyRecord:
    click = Click.model_validate(
        {
            "event_id": f"{kind}-{ranking.event_id}-{position}",
            "event_time": _moment(time),
            "tenant": ranking.tenant,
            "user": ranking.user,
            "kind": kind,
            "offer": ranking.slots[position].offer,
            "decision_id": ranking.event_id,
        }
    )
    return record(CLICKS, click)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
