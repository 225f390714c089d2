"""Offers over a real broker: requests are answered in Redis, and what comes of the offers is in later rankings.

A customer buys an item meanwhile, and is recommended others.
"""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Producer
from redis import Redis
from typer.testing import CliRunner

from schemas.events import Click, OfferRequest
from schemas.offer_results import Ranking
from schemas.offer_topics import OFFER_EXAMPLES, RANKERS, RANKINGS
from schemas.recommendation_results import CatalogueItem
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS, RECOMMENDATIONS
from schemas.records import DAY, AnyRecord, AnyTopic, Record
from schemas.topics import DEAD_LETTERS, OFFER_REQUESTS, SCORES, TRANSACTIONS
from sinks.offer_serving import offers_key, rankers_key, ranking_key
from sinks.recommendation_serving import demand_key, recommendations_key
from sinks.stored import ORDER_DIGITS
from streams.assembly import pipeline
from streams.main import app
from streams.offer_simulator import Customers
from streams.publish import publish
from streams.settings import Settings
from streams.simulator import World, simulate
from tests.builders import moment
from tests.live.workers import Stage, staged
from tests.processors.offer_world import click, record, request

pytestmark = pytest.mark.live

WORLD = World(customers=120, terminals=60, days=1)
START = round(WORLD.start.timestamp() * 1000)
LATER = START + 30 * DAY
CHOSEN = {"batch": "200", "ranking_throttle": "0ms"}
SETTINGS = Settings(throw_away=True, batch=200, ranking_throttle=0)


@pytest.fixture
def stage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged(folder, pipeline(SETTINGS), CHOSEN) as stage:
        monkeypatch.setenv("HEADRACE_KAFKA", stage.broker)
        monkeypatch.setenv("HEADRACE_REDIS", stage.redis)
        yield stage


def served(stage: Stage, decision: str) -> Ranking | None:
    """Return a ranking as a reader finds it."""
    with Redis.from_url(stage.redis) as client:
        found = client.get(ranking_key("default", decision))
    return None if found is None else RANKINGS.decode(found)


def said(stage: Stage, topic: AnyTopic) -> list[AnyRecord]:
    messages = [topic.decode(stored.value) for stored in stage.records(topic)]
    return [Record(topic, message, message.event_id) for message in messages]


def shop(stage: Stage, user: str) -> None:
    """Have a catalogue with one bad entry, and a customer who buys an item of it and one that it lacks."""
    for item in ("alien", "psycho"):
        entry = CatalogueItem(event_id=f"item-{item}", event_time=moment(START), item=item)
        publish([Record(ITEMS, entry, entry.event_id)], stage.broker)
    producer = Producer({"bootstrap.servers": stage.broker})
    producer.produce(ITEMS.name, b'{"event_id": "bad", "event_time": 1, "item": ""}', b"bad")
    producer.flush(10)
    for item in ("alien", "unlisted"):
        bought = click("purchase", START, user=user, offer=None, item=item, event_id=f"bought-{item}")
        publish([record(bought)], stage.broker)


def assert_recommended(stage: Stage, user: str) -> None:
    """Assert that readers find what is left to recommend, the demand, and the bad entry among the dead letters."""
    with Redis.from_url(stage.redis) as client:
        stored, demand = client.get(recommendations_key("default", user)), client.get(demand_key("default", "unlisted"))
    assert stored is not None
    assert demand is not None
    assert [each.item for each in RECOMMENDATIONS.decode(stored[ORDER_DIGITS:]).items] == ["psycho"]
    assert ITEM_DEMANDS.decode(demand[ORDER_DIGITS:]).unlisted == 1
    letters = [each.message for each in said(stage, DEAD_LETTERS)]
    assert [(letter.topic, letter.reason) for letter in letters] == [(ITEMS.name, "invalid_field")]


def assert_rebuilt_without(stage: Stage, user: str) -> None:
    """Assert that the ranker can be taught anew without what became of a customer's offers, by command."""
    examples = [each.message for each in said(stage, OFFER_EXAMPLES)]
    command = ("models", "rebuild", "offers", "--exclude", f"user={user}", "--from", "0", "--json")
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.stderr
    told = json.loads(answer.stdout)
    own = sum(each.user == user for each in examples)
    assert own > 0
    assert (told["from"], told["learned"], told["excluded"]) == (None, len(examples) - own, own)
    with Redis.from_url(stage.redis) as client:
        newest = RANKERS.decode(client.hget(rankers_key("default"), "offers")[ORDER_DIGITS:])
    assert (newest.order, newest.why) == (told["version"]["order"], f"rebuilt from nothing without user={user}")


def later(users: list[str]) -> list[AnyRecord]:
    """Return something of each customer after all windows are over, so that no partition waits for it."""
    return [record(click("view", LATER, user=user, offer=None, event_id=f"later-{user}")) for user in users]


def test_what_is_asked_is_answered_and_what_comes_of_it_is_learned(stage: Stage) -> None:
    customers, numbers = Customers(WORLD, requests_per_day=2.5), count()
    begin = list(customers.until(START + DAY))
    requests = [each for each in begin if each.topic is OFFER_REQUESTS]
    publish([each for each in begin if each.topic is not OFFER_REQUESTS], stage.broker)

    def is_ranked_by_a_model() -> bool:
        asked: OfferRequest = request(f"again-{next(numbers)}", LATER + next(numbers), user="c000001")
        publish([record(asked)], stage.broker)
        worker.until(lambda: served(stage, asked.event_id) is not None)
        answer = served(stage, asked.event_id)
        return answer is not None and answer.source == "model"

    shop(stage, "c000001")
    with stage.worker() as worker:
        publish(requests, stage.broker)
        worker.until(lambda: stage.count(RANKINGS) == len(requests))
        for ranking in said(stage, RANKINGS):
            assert served(stage, ranking.message.event_id) == ranking.message
            customers.hear(ranking)
        assert customers.waiting == 0
        happened = list(customers.until(LATER))
        publish(happened, stage.broker)
        publish(later([f"c{number:06d}" for number in range(WORLD.customers)]), stage.broker)
        worker.until(lambda: stage.count(RANKERS) > 0)
        worker.until(is_ranked_by_a_model)
        worker.until(stage.caught_up)
        assert_rebuilt_without(stage, "c000001")
        worker.until(stage.caught_up)
        assert worker.terminate() == 0, worker.log
    clicks: list[Click] = [each.message for each in happened]
    shown = {(each.decision_id, each.offer) for each in clicks if each.kind == "impression"}
    examples = [each.message for each in said(stage, OFFER_EXAMPLES)]
    assert sorted((each.decision, each.offer) for each in examples) == sorted(shown)
    assert {each.label for each in examples} == {True, False}
    with Redis.from_url(stage.redis) as client:
        assert client.exists(offers_key("default", "c000001"))
    assert_recommended(stage, "c000001")
    assert_exactly_once(stage)


def test_workers_of_one_pipeline_each_share_the_work_by_what_it_is_about(stage: Stage) -> None:
    customers = Customers(WORLD)
    happened = list(customers.among(simulate(WORLD)))
    asked = sum(each.topic is OFFER_REQUESTS for each in happened)
    paid = sum(each.topic is TRANSACTIONS for each in happened)
    publish(happened, stage.broker)
    with stage.worker(pipelines="offers") as offers:
        offers.until(lambda: stage.count(RANKINGS) == asked)
        assert stage.count(SCORES) == 0
        with stage.worker(pipelines="fraud") as fraud:
            fraud.until(lambda: stage.count(SCORES) == paid)
            assert fraud.terminate() == 0, fraud.log
        assert offers.terminate() == 0, offers.log
    assert stage.count(RANKINGS) == asked


def assert_exactly_once(stage: Stage) -> None:
    """Assert that all that was said equals a replay of the journal."""
    with stage.journal(SETTINGS) as journal:
        replayed = {each.id: each.topic.encode(each.message) for each in journal.records()}
    assert stage.said((*stage.pipeline.outputs, DEAD_LETTERS)) == replayed
