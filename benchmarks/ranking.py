"""Offers ranked on one core: requests a second, milliseconds a request, and how soon a ranking knows what was learned.

Simulated customers first ask and answer for a month, so that contexts and a published model are there. A request is a
step of the ranker with everything in it: the customer's context, eligibility, vectors, scores, slots with their exact
propensities and reasons, and the ranking as bytes. `requests_per_second` is at 20 candidates by the clock on the wall,
`requests_per_core_second` by processor time; `p50_ms` and `p99_ms` are at 100. The catalogue has 240 offers and more.

`feedback_in_process` is from the click that completes a reward until the next ranking has been made by a version that
learned it: the reward, the example, learning, signing and publishing a version, loading it and ranking with it. No
broker is between the processors, and the window of the offer, after which its reward counts, is over with the next
event. `feedback_to_ranking` is the same live, until the ranking can be read in Redis: see `benchmarks/feedback.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.feedback import feedback
from benchmarks.replay import collector_as_in_a_worker
from schemas.offer_results import RankerVersion, Ranking
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.topics import CLICKS, OFFER_REQUESTS, OFFERS
from streams.assembly import offer_pipeline
from streams.offer_simulator import HOUR, Customers
from streams.offer_tastes import catalogue
from streams.replay import Replay
from streams.settings import Settings
from streams.simulator import World, simulate

WORLD = World(customers=300, terminals=400, days=30)
COPIES = 10
"""How often each offer of the simulated catalogue is in the one that candidates are drawn from."""

FEW, MANY = 20, 100
ROUNDS = 200

Told = Callable[[str], None]
Milliseconds = npt.NDArray[np.float64]


def ranking(requests: int = 3_000, rounds: int = 100, told: Told = lambda _: None) -> dict[str, float]:
    """Return requests a second, and percentiles in milliseconds; of live feedback where there are `rounds` of it."""
    told("a month of offers")
    scene = Scene(WORLD)
    with collector_as_in_a_worker():
        told(f"{FEW} candidates")
        scene.answer(FEW, requests // 10)
        few = scene.answer(FEW, requests)
        told(f"{MANY} candidates")
        many = scene.answer(MANY, requests // 3)
        told("feedback")
        taught = scene.feedback(ROUNDS)
    live = percentiles(feedback(rounds, told), "feedback_to_ranking_") if rounds else {}
    return {
        "requests_per_second": round(1_000 / few.wall.mean()),
        "requests_per_core_second": round(1_000 / few.core.mean()),
        **percentiles(many.wall),
        **percentiles(taught, "feedback_in_process_"),
        **live,
        "ranker_version": scene.version,
    }


def percentiles(latencies: Milliseconds, name: str = "") -> dict[str, float]:
    """Return the median and the 99th percentile."""
    p50, p99 = np.percentile(latencies, (50, 99)).tolist()
    return {f"{name}p50_ms": round(p50, 2), f"{name}p99_ms": round(p99, 2)}


class Took(NamedTuple):
    """What each of many requests took, by the clock on the wall and by processor time."""

    wall: Milliseconds
    core: Milliseconds


class Scene:
    """A pipeline that has ranked and learned for as long as a world lasts, and a larger catalogue for what follows.

    `version` is the newest version of the ranker. Raises RuntimeError when none was published.
    """

    def __init__(self, world: World) -> None:
        self.version = 0
        self._engine = Replay(offer_pipeline(Settings(ranking_throttle=0)))
        self._chance = np.random.default_rng(world.seed)
        self._numbers = count()
        self._now = 0
        self._live(world)
        if not self.version:
            raise RuntimeError(f"no ranker was published in {world.days} days: the world is too small")
        self._enlarge(world)
        self._offers = [offer.offer for offer in self._engine.tables[OFFERS].values()]
        self._users = sorted(self._engine.tasks["offers"].states)

    def answer(self, candidates: int, requests: int) -> Took:
        """Return how long each of so many requests took, each for another customer in turn."""
        task, took = self._engine.tasks["offers"], Took(np.empty(requests), np.empty(requests))
        for number in range(requests):
            record = self._request(self._users[number % len(self._users)], candidates)
            wall, core = time.perf_counter(), time.process_time()
            for said in task.step(record):
                said.topic.encode(said.message)
            took.wall[number] = (time.perf_counter() - wall) * 1_000
            took.core[number] = (time.process_time() - core) * 1_000
        return took

    def feedback(self, rounds: int) -> Milliseconds:
        """Return how long it took each time from the click that completed a reward until it showed in a ranking.

        Raises RuntimeError when a ranking was not made by the version that learned it.
        """
        return np.array([self._round(user) for user in self._chance.choice(self._users, rounds).tolist()]) * 1_000

    def _live(self, world: World) -> None:
        customers = Customers(world, requests_per_day=0.3)
        for record in customers.among(simulate(world)):
            for said in self._take(record):
                customers.hear(said)

    def _take(self, record: AnyRecord) -> list[AnyRecord]:
        """Step a record, put all that is said into bytes, and return it."""
        self._now, said = max(self._now, record.time), []
        for each in self._engine.step(record):
            each.topic.encode(each.message)
            if isinstance(each.message, RankerVersion):
                self.version = each.message.version
            said.append(each)
        return said

    def _enlarge(self, world: World) -> None:
        for record in catalogue(world):
            for copy in range(COPIES):
                name = f"{record.message.offer}-{copy}"
                changed = {"event_id": name, "offer": name, "shows_per_week": None, "consent": None}
                more = record.message.model_copy(update=changed)
                self._take(Record(OFFERS, more, name))

    def _request(self, user: str, candidates: int) -> AnyRecord:
        offers = tuple(self._chance.choice(self._offers, candidates, replace=False).tolist())
        return self._event(OFFER_REQUESTS, user=user, offers=offers)

    def _event(self, topic: AnyTopic, **fields: Any) -> AnyRecord:
        """Return something that happens a second after what happened last."""
        self._now += 1_000
        at, name = datetime.fromtimestamp(self._now / 1_000, UTC), f"bench-{next(self._numbers)}"
        return Record(topic, topic.model.model_validate({"event_id": name, "event_time": at, **fields}), name)

    def _round(self, user: str) -> float:
        made = self._ranked(self._request(user, FEW))
        slot = made.slots[0]
        about = {"user": user, "offer": slot.offer, "decision_id": made.event_id}
        for kind in ("impression", "view"):
            self._take(self._event(CLICKS, kind=kind, **about))
        redemption = self._event(CLICKS, kind="redemption", **about)
        self._now = max(self._now, slot.window_end) + HOUR
        over = self._event(CLICKS, user="nobody", kind="view")
        request, before = self._request(user, FEW), self.version
        started = time.perf_counter()
        self._take(redemption)
        self._take(over)
        after = self._ranked(request)
        took = time.perf_counter() - started
        if after.version != self.version or self.version == before:
            raise RuntimeError(f"version {after.version} ranked, of {self.version}, after a reward; {before} before")
        return took

    def _ranked(self, request: AnyRecord) -> Ranking:
        for said in self._take(request):
            if isinstance(said.message, Ranking):
                return said.message
        raise RuntimeError(f"request {request.id} was not answered")
