"""Spans of time as people write them: 7d, 12h, 250ms."""

import re

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*")


def milliseconds(span: str | int) -> int:
    """Return the milliseconds of a span such as "7d", "1h30m" or "250ms". Raises ValueError for anything else.

    A whole number is taken as milliseconds already.

    >>> milliseconds("1h30m")
    5400000
    """
    if isinstance(span, int) and not isinstance(span, bool):
        return span
    text = span.strip() if isinstance(span, str) else ""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text):
        raise ValueError(f"{span!r} is no duration: write a number and a unit, such as 7d, 12h, 30m, 10s or 250ms")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))
