"""What a request may ask with: ids in its path, and how long it waits."""

from typing import Annotated

from fastapi import Path, Query

from api.settings import ApiSettings

Id = Annotated[str, Path(min_length=1, max_length=256)]
Wait = Annotated[
    str,
    Query(pattern=r"^[0-9]{1,6}(ms|s)$", description="How long to wait for what is not there yet: 250ms, 2s."),
]


def milliseconds(span: str) -> int:
    """Return a span such as "250ms" or "2s" in milliseconds.

    >>> milliseconds("250ms"), milliseconds("2s")
    (250, 2000)
    """
    return int(span.removesuffix("ms")) if span.endswith("ms") else int(span.removesuffix("s")) * 1000


def waited_ms(span: str, settings: ApiSettings) -> int:
    """Return for how many milliseconds a request waits that asks for a span: for no longer than the settings allow.

    >>> waited_ms("250ms", ApiSettings()), waited_ms("60s", ApiSettings())
    (250, 10000)
    """
    return min(milliseconds(span), settings.longest_wait_ms)
