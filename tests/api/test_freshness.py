"""An answer is as fresh as the slowest of the processors that it comes from."""

from collections.abc import Mapping

import pytest

from api.freshness import MADE_BY, Freshness
from api.settings import ApiSettings
from sinks.base import Progress
from sinks.memory import MemoryValues
from sinks.progress import PROGRESS, progress_field
from sinks.serving import Reader
from streams.assembly import pipeline
from streams.settings import Settings

pytestmark = pytest.mark.anyio
NOW = 1_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def told(ago: Mapping[str, int]) -> Freshness:
    """Return the freshness where each processor committed so many milliseconds ago."""
    values = MemoryValues()
    for name, milliseconds in ago.items():
        await values.hset(PROGRESS, *progress_field(name, 0, Progress(NOW, NOW - milliseconds)))
    return Freshness(Reader(values), lambda: NOW, ApiSettings())


@pytest.fixture
async def quiet() -> Freshness:
    """Payments come, and nothing is learned, asked for or shown."""
    return await told({"features": 10, "fraud": 20, "learning": 90_000, "offers": 30, "offer-usage": 90_000})


@pytest.mark.parametrize(("part", "commit_ms"), [("score", 20), ("features", 10), ("ranking", 30)])
async def test_what_is_fresh_stays_so_while_nothing_is_learned(quiet: Freshness, part: str, commit_ms: int) -> None:
    ages = await quiet.ages(NOW, part)
    assert (ages.commit_ms, quiet.is_stale(ages, None)) == (commit_ms, False)


@pytest.mark.parametrize("part", ["models", "usage", "", "a part nobody knows"])
async def test_the_slowest_tells_the_age(quiet: Freshness, part: str) -> None:
    ages = await quiet.ages(NOW, part)
    assert (ages.commit_ms, quiet.is_stale(ages, None)) == (90_000, True)


async def test_a_pipeline_with_processors_of_other_names_is_as_old_as_its_slowest() -> None:
    freshness = await told({"mine": 5, "yours": 7})
    assert (await freshness.ages(NOW, "score")).commit_ms == 7


def test_those_who_make_the_parts_are_in_the_pipeline() -> None:
    names = {processor.name for processor in pipeline(Settings()).processors}
    assert frozenset.union(*MADE_BY.values()) <= names
