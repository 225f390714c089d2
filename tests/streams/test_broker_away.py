"""While no broker answers, a worker neither hammers on its door nor fills the disk with what it says about it."""

import asyncio
import logging

import pytest

from streams.fetching import PacedConsumer, paced
from streams.seldom import Seldom


def turns(seconds: float) -> int:
    """Return how many updates have begun, two of which were asked for, once whoever can go on has done so."""

    async def begun() -> int:
        count = 0

        async def refused(_cluster: object, _topics: object) -> bool:
            nonlocal count
            count += 1
            return False

        update = paced(refused, seconds)
        assert await update(None, None) is False
        second = asyncio.ensure_future(update(None, None))
        for _ in range(50):
            await asyncio.sleep(0)
        second.cancel()
        return count

    return asyncio.run(begun())


def test_metadata_are_asked_for_again_only_after_a_pause() -> None:
    assert turns(seconds=0.0) == 2
    assert turns(seconds=60.0) == 1


def test_an_update_that_breaks_off_is_followed_by_a_pause_too() -> None:
    async def told() -> bool:
        async def broken(_cluster: object, _topics: object) -> bool:
            raise ConnectionError

        update = paced(broken, 60.0)
        with pytest.raises(ConnectionError):
            await update(None, None)
        second = asyncio.ensure_future(update(None, None))
        await asyncio.sleep(0)
        waiting = not second.done()
        second.cancel()
        return waiting

    assert asyncio.run(told())


def test_the_consumer_asks_for_metadata_only_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.fetching.METADATA_SECONDS", 60.0)

    async def waiting() -> bool:
        consumer = PacedConsumer(bootstrap_servers="127.0.0.1:1")
        client = consumer._client
        assert await client._metadata_update(client.cluster, ()) is False
        second = asyncio.ensure_future(client._metadata_update(client.cluster, ()))
        for _ in range(50):
            await asyncio.sleep(0)
        waits = not second.done()
        second.cancel()
        await consumer.stop()
        return waits

    assert asyncio.run(waiting())


def test_what_is_said_over_and_over_is_told_now_and_then_with_how_often() -> None:
    now, told = [0.0], []
    logger = logging.Logger("chatty")
    logger.addFilter(Seldom(10.0, lambda: now[0]))
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    for at in (0.0, 1.0, 9.9, 10.0, 12.0, 21.0):
        now[0] = at
        logger.error("node %s is away", round(at))
    logger.error("another matter")
    assert told == [
        "node 0 is away",
        "node 10 is away (2 more since)",
        "node 21 is away (1 more since)",
        "another matter",
    ]
