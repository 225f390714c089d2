"""A connection to Redis that says quickly when Redis is away."""

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sinks.base import SinkBusy

RETRY_AFTER = 1.0

_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    OSError,
)


class Scripted(Protocol):
    """A Redis client or pipeline, of either redis or redis.asyncio."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> Any:
        """Run a script, or queue it."""
        ...


class Values(Scripted, Protocol):
    """What is asked of redis.asyncio.Redis; the memory twin offers it too."""

    def get(self, key: str, /) -> Awaitable[Any]:
        """Return the value of a key, or None."""
        ...

    def mget(self, keys: Sequence[str], /) -> Awaitable[Any]:
        """Return the value, or None, of each key."""
        ...

    def hgetall(self, key: str, /) -> Awaitable[Any]:
        """Return the fields and values of a hash; none for an unknown key."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Close the connection."""
        ...


def connect(url: str, timeout_s: float = 1.0) -> Redis:
    """Return a client of the Redis at `url` that never retries by itself: whoever asks decides when to come back."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s, socket_connect_timeout=timeout_s)


@contextmanager
def busy_when_away() -> Iterator[None]:
    """Turn what Redis or the network says while it cannot serve into SinkBusy."""
    try:
        yield
    except _AWAY as error:
        raise SinkBusy(RETRY_AFTER, f"Redis: {error}") from error
    except exceptions.ResponseError as error:
        # Redis 6 tells of it in the middle of what it says about a script, Redis 7 by its own name.
        if not isinstance(error, exceptions.OutOfMemoryError) and "OOM" not in str(error):
            raise
        raise SinkBusy(RETRY_AFTER, f"Redis is out of memory: {error}") from error
