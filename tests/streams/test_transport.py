"""The batch transport, where no broker is needed: how its fetcher ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
import pytest
from mode import Service

from streams.transport import SCHEME, BatchConsumer, register


class Quiet(BatchConsumer):
    """A consumer to which nothing comes, for want of a thread that asks for it."""

    def _new_consumer_thread(self) -> Any:
        return Service(loop=self.loop)

    async def getmany(self, timeout: float) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield


async def crash_of_a_fetcher_that_is_stopped(folder: Path, rebalancing: bool) -> BaseException | None:
    """Let a fetcher wait for records, stop it, and return what Faust says it crashed of."""
    register()
    loop = asyncio.get_running_loop()
    app = faust.App("transport", broker=f"{SCHEME}://", store="memory://", datadir=str(folder), loop=loop)
    app.finalize()
    app.transport.Consumer = Quiet
    await app._fetcher.start()
    await asyncio.sleep(0)
    app.rebalancing = rebalancing
    await app._fetcher.stop()
    reason: BaseException | None = app._fetcher.crash_reason
    return reason


@pytest.mark.parametrize("rebalancing", [False, True])
def test_a_fetcher_that_is_stopped_has_not_crashed(tmp_path: Path, rebalancing: bool) -> None:
    assert asyncio.run(crash_of_a_fetcher_that_is_stopped(tmp_path, rebalancing)) is None
