"""How soon feedback is in a ranking, live: from the click that completes a reward to a ranking that has learned it.

Simulated customers ask and answer for a day first, over a real broker, so that there is a model. Then, time after time,
a customer is shown an offer and redeems it, and the offer's window is over with the next event. The clock runs from
when the redemption is published until a ranking by a version that learned from it can be read in Redis; meanwhile the
customer asks again every few milliseconds. The learner publishes a version after every example (HEADRACE_RANKER_EVERY
is 1), so this is the pipeline's own delay. By default it publishes every 200 examples or every hour of event time:
until then feedback waits, whatever the pipeline does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer
from redis import Redis

from benchmarks.arrivals import Arrivals
from benchmarks.latency import await_silence
from benchmarks.site import Site, Worker, own_site
from schemas.offer_results import Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import DAY, AnyRecord, AnyTopic, Record
from schemas.topics import CLICKS, OFFER_REQUESTS
from sinks.offer_serving import ranking_key
from streams.offer_simulator import HOUR, Customers
from streams.publish import publish
from streams.simulator import World

WORLD = World(customers=120, terminals=60, days=1)
REQUESTS_A_DAY = 2.5
ASK_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
SETTINGS = {"pipelines": "offers", "ranking_throttle": "0ms", "ranker_every": "1", "ranker_at_most": "1h"}

Told = Callable[[str], None]
Milliseconds = npt.NDArray[np.float64]


def feedback(rounds: int, told: Told = lambda _: None) -> Milliseconds:
    """Return how long each of so many rounds took. Raises RuntimeError where feedback does not come to a ranking."""
    told("Kafka and Redis")
    with own_site() as site:
        fresh = site.cleared(**SETTINGS)
        with fresh.workers() as (worker,), Arrivals(fresh.redis, ranking_key("default", "")) as arrivals:
            conversation = Conversation(fresh, worker, arrivals)
            told("a day of offers")
            conversation.live()
            told(f"{rounds} redemptions")
            found = np.array([conversation.round(n) for n in range(rounds)]) * 1_000
            conversation.close()
        return found


class Conversation:
    """What customers publish, and the rankings that they find in Redis."""

    def __init__(self, site: Site, worker: Worker, arrivals: Arrivals) -> None:
        self._site = site
        self._worker = worker
        self._arrivals = arrivals
        own = {"bootstrap.servers": site.broker.address, "log_level": 0}
        self._producer = Producer({"partitioner": "murmur2_random", "linger.ms": 0, **own})
        self._redis = Redis.from_url(site.redis)
        self._numbers = count()
        self._now = round(WORLD.start.timestamp() * 1_000)
        self._users = [f"c{number:06d}" for number in range(WORLD.customers)]
        self._version = 0

    def live(self) -> None:
        """Let all customers ask and answer for a day, until a model of that ranks."""
        customers, first = Customers(WORLD, requests_per_day=REQUESTS_A_DAY), self._now
        begin = list(customers.until(first + DAY))
        self._publish(each for each in begin if each.topic is not OFFER_REQUESTS)
        requests = [each for each in begin if each.topic is OFFER_REQUESTS]
        self._publish(requests)
        for each in requests:
            ranking = self._ranking(each.id)
            customers.hear(Record(RANKINGS, ranking, ranking.event_id))
        self._now = first + 30 * DAY
        self._publish(customers.until(self._now))
        self._publish(self._event(CLICKS, user=user, kind="view") for user in self._users)
        await_silence(self._site.broker)
        self._version = self._ranking(self._ask(self._users[0])).version

    def round(self, number: int) -> float:
        """Return the seconds from a redemption to a ranking that has learned from it."""
        user = self._users[number % len(self._users)]
        slot = (made := self._ranking(self._ask(user))).slots[0]
        about = {"user": user, "offer": slot.offer, "decision_id": made.event_id}
        self._say(self._event(CLICKS, kind="impression", propensity=slot.propensity, **about))
        self._say(self._event(CLICKS, kind="view", **about))
        redemption = self._event(CLICKS, kind="redemption", **about)
        self._now = max(self._now, slot.window_end) + HOUR
        started = time.perf_counter()
        self._say(redemption)
        self._say(self._event(CLICKS, user=user, kind="view"))
        return self._learned(user) - started

    def close(self) -> None:
        """Wait for what was asked last, and close the connections."""
        self._producer.flush(PATIENCE_SECONDS)
        self._redis.close()

    def _learned(self, user: str) -> float:
        """Return when a ranking by a later version was there, by `time.perf_counter`."""
        deadline, asked = time.monotonic() + PATIENCE_SECONDS, []
        while time.monotonic() < deadline:
            asked.append(self._ask(user))
            time.sleep(ASK_SECONDS)
            while asked and asked[0] in self._arrivals.at:
                ranking = self._ranking(decision := asked.pop(0))
                if ranking.version > self._version:
                    self._version = ranking.version
                    return self._arrivals.at[decision]
        raise RuntimeError(f"no version after {self._version} ranked within {PATIENCE_SECONDS:.0f} s of a redemption")

    def _ask(self, user: str) -> str:
        request = self._event(OFFER_REQUESTS, user=user)
        self._say(request)
        return request.id

    def _ranking(self, decision: str) -> Ranking:
        self._arrivals.wait_for([decision], PATIENCE_SECONDS)
        self._worker.process.check_alive()
        stored: Any = self._redis.get(ranking_key("default", decision))
        ranking: Ranking = RANKINGS.decode(stored)
        return ranking

    def _say(self, record: AnyRecord) -> None:
        self._producer.produce(record.topic.name, record.topic.encode(record.message), record.key)
        self._producer.poll(0)

    def _publish(self, records: Iterable[AnyRecord]) -> None:
        publish(records, self._site.broker.address)

    def _event(self, topic: AnyTopic, **fields: Any) -> AnyRecord:
        """Return something that happens a second after what happened last."""
        self._now += 1_000
        at, name = datetime.fromtimestamp(self._now / 1_000, UTC), f"bench-{next(self._numbers)}"
        return Record(topic, topic.model.model_validate({"event_id": name, "event_time": at, **fields}), name)
