"""Services of a benchmark's own, so that nothing else fills their logs and nobody's data is in the way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.services.supervisor import Part, down, up


@contextmanager
def own_services(*parts: Part) -> Iterator[dict[Part, str]]:
    """Start fresh services and yield the address of each; end them, and delete their data, when the block is left."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        try:
            found = up(folder, parts)
            addresses = {Part.KAFKA: found.kafka, Part.REDIS: found.redis, Part.CLICKHOUSE: found.clickhouse}
            yield {part: address for part, address in addresses.items() if address is not None}
        finally:
            down(folder)
