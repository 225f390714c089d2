"""Results in Redis: written by one script, newest wins, read by the reader's key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from schemas.records import DAY, Record
from schemas.results import FraudScore
from schemas.topics import MODELS, SCORES
from sinks.base import Encoded, Progress, SinkBusy
from sinks.connection import connect
from sinks.memory import MemoryValues
from sinks.progress import PROGRESS, progress_field
from sinks.serving import Keep, Reader, Served, ServingSink, apply, serve
from tests.contracts.results import NOON, alert, encoded, features, model_version, record, score, shuffled

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def emptied(redis_url: str) -> AsyncIterator[Redis]:
    """Connect to a database of this suite's own."""
    client = connect(redis_url.removesuffix("/0") + "/9")
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with emptied(redis_url) as client:
        yield client


@pytest.fixture(params=["redis", "memory"])
async def values(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Redis | MemoryValues]:
    if request.param == "memory":
        yield MemoryValues()
        return
    async with emptied(redis_url) as client:
        yield client


async def said(values: Redis | MemoryValues, *messages: object) -> None:
    await apply(values, [served for message in messages for served in serve(*record(message))])


async def test_a_score_is_read_by_event_user_terminal_and_card(values: Redis | MemoryValues) -> None:
    made = score(card="tok_1_x")
    await said(values, made)
    reader, json = Reader(values), SCORES.encode(made)
    assert await reader.score("e1") == json
    assert await reader.user_risk("ann") == json
    assert await reader.terminal("t1") == json
    assert await reader.card("tok_1_x") == json


async def test_features_are_read_by_user(values: Redis | MemoryValues) -> None:
    await said(values, features(user="Зоя"))
    assert await Reader(values).user_features("Зоя") == record(features(user="Зоя"))[1]


async def test_who_is_unknown_has_nothing(values: Redis | MemoryValues) -> None:
    reader = Reader(values)
    assert await reader.score("none") is None
    assert await reader.user_risk("none") is None
    assert await reader.models() == {}
    assert await reader.progress() == {}


async def test_an_older_event_does_not_replace_a_newer_one(values: Redis | MemoryValues) -> None:
    newer, older = score("new", event_time=NOON + 1), score("old", event_time=NOON)
    await said(values, newer)
    await said(values, older)
    reader = Reader(values)
    assert await reader.user_risk("ann") == SCORES.encode(newer)
    assert await reader.score("old") == SCORES.encode(older)


async def test_times_before_1970_have_an_order_too(values: Redis | MemoryValues) -> None:
    await said(values, score("new", event_time=-1))
    await said(values, score("old", event_time=-1000))
    assert await Reader(values).user_risk("ann") == SCORES.encode(score("new", event_time=-1))


@pytest.mark.parametrize("seed", range(20))
async def test_order_and_batches_do_not_matter_even_within_one_millisecond(
    values: Redis | MemoryValues, seed: int
) -> None:
    scores = [score(f"e{n}", event_time=NOON + n // 2, user=f"u{n % 3}") for n in range(24)]
    served = [one for made in scores for one in serve(*record(made))]
    await apply(values, served)
    before = [await Reader(values).user_risk(f"u{n}") for n in range(3)]
    order = shuffled(served, seed)
    for start in range(0, len(order), 7):
        await apply(values, order[start : start + 7])
    assert [await Reader(values).user_risk(f"u{n}") for n in range(3)] == before


async def test_tenants_never_share_a_key(values: Redis | MemoryValues) -> None:
    await said(values, score(tenant="a:user:b", user="c"), score(tenant="a", user="b:user:c", amount=1.0))
    reader = Reader(values)
    assert b'"amount":412.0' in (await reader.user_risk("c", "a:user:b") or b"")
    assert b'"amount":1.0' in (await reader.user_risk("b:user:c", "a") or b"")
    assert await reader.user_risk("c") is None


async def test_models_are_listed_without_blob_and_fetched_with_it(values: Redis | MemoryValues) -> None:
    await said(values, model_version(10), model_version(9), model_version(1, model="anomaly"))
    reader = Reader(values)
    listed = {name: MODELS.decode(json) for name, json in (await reader.models()).items()}
    assert {name: (model.version, model.blob) for name, model in listed.items()} == {
        "anomaly": (1, ""),
        "fraud": (10, ""),
    }
    assert await reader.model_version("fraud", 9) == MODELS.encode(model_version(9))


async def test_what_no_reader_asks_for_is_not_served(values: Redis | MemoryValues) -> None:
    assert serve(*record(alert())) == ()
    assert apply(values, ()) is None


async def test_a_score_that_comes_while_waited_for_is_returned_to_all_who_wait(values: Redis | MemoryValues) -> None:
    reader = Reader(values)
    waiting = [asyncio.create_task(reader.wait_for_score("e1", 10_000)) for _ in range(50)]
    await asyncio.sleep(0)
    await said(values, score())
    assert await asyncio.gather(*waiting) == [SCORES.encode(score())] * 50


async def test_a_score_that_does_not_come_is_none_and_nobody_looks_for_it_any_more(
    values: Redis | MemoryValues,
) -> None:
    reader = Reader(values)
    patient = asyncio.create_task(reader.wait_for_score("e1", 10_000))
    assert await reader.wait_for_score("e1", 5) is None
    await said(values, score())
    assert await patient == SCORES.encode(score())


async def test_closing_sends_the_waiting_home() -> None:
    reader = Reader(MemoryValues())
    waiting = asyncio.create_task(reader.wait_for_score("e1", 60_000))
    await asyncio.sleep(0)
    await reader.aclose()
    assert await waiting is None


async def test_progress_is_the_newest_of_all_partitions(values: Redis | MemoryValues) -> None:
    for partition, progress in enumerate([Progress(NOON, 10), Progress(NOON - 5, 20)]):
        await values.hset(PROGRESS, *progress_field("fraud", partition, progress))
    assert await Reader(values).progress() == {"fraud": Progress(NOON, 20)}


async def test_results_expire_and_the_list_of_models_does_not(redis: Redis) -> None:
    keep = Keep(scores_ms=DAY, newest_ms=2 * DAY, models_ms=3 * DAY)
    for message in (score(), model_version()):
        await apply(redis, serve(*record(message), keep))
    spans = {str(key, "utf-8"): -(-await redis.pttl(key) // DAY) for key in await redis.keys()}  # type: ignore[arg-type]
    assert spans == {
        "hr:default:score:e1": 1,
        "hr:default:user:ann:risk": 2,
        "hr:default:terminal:t1:risk": 2,
        "hr:default:models": 0,
        "hr:default:models:fraud:3": 3,
    }


async def test_a_value_without_span_is_kept_for_good(redis: Redis) -> None:
    await apply(redis, [Served("hr:kept", b"1", 0)])
    assert await redis.pttl("hr:kept") == -1


async def test_applying_inside_a_transaction_is_part_of_it(redis: Redis) -> None:
    pipeline = redis.pipeline(transaction=True)
    apply(pipeline, serve(*record(score())))
    pipeline.set("beside", 1)
    assert await Reader(redis).score("e1") is None
    await pipeline.execute()
    assert await Reader(redis).score("e1") is not None


async def test_a_redis_that_is_away_says_when_to_come_back() -> None:
    client = connect("redis://127.0.0.1:1/0")
    reader = Reader(client)
    for question in (reader.score("e1"), reader.models(), reader.progress(), reader.wait_for_score("e1", 10_000)):
        with pytest.raises(SinkBusy, match="try again in 1 s") as busy:
            await question
        assert busy.value.retry_after == 1
    with pytest.raises(SinkBusy):
        await ServingSink(client).write([encoded(score())])
    await reader.aclose()


async def test_a_redis_out_of_memory_takes_nothing_and_says_so(redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(SinkBusy, match="out of memory"):
            await ServingSink(redis).write([encoded(score())])
    finally:
        await redis.config_set("maxmemory", "0")
    assert await redis.keys() == []


async def test_a_bug_in_a_question_is_not_called_busy(redis: Redis) -> None:
    await redis.set("hr:default:models", "not a hash")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await Reader(redis).models()


async def test_only_the_topics_of_results_are_taken() -> None:
    with pytest.raises(ValueError, match=r"ServingSink takes .*, not \['nowhere'\]"):
        await ServingSink(MemoryValues()).write([Encoded("nowhere", b"{}")])


def test_a_record_of_many_is_served_as_it_stands() -> None:
    made: FraudScore = score(terminal="ann")
    json = b"the bytes, whatever they are"
    served = serve(Record(SCORES, made, "e1"), json)
    assert [one.value for one in served] == [json] * 3
