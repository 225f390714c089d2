"""Services of one's own, for benchmarks and drills: nothing else fills their logs, and nobody's data is in the way."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from streams.services.supervisor import Part, down, up


class Own(NamedTuple):
    """The folder that holds the services, and the address of each."""

    folder: Path
    addresses: dict[Part, str]


@contextmanager
def own_services(*parts: Part) -> Iterator[Own]:
    """Start fresh services; end them, and delete their data, when the block is left. Raises ServiceFailed."""
    with tempfile.TemporaryDirectory(prefix="headrace-own-") as name:
        folder = Path(name)
        try:
            found = up(folder, parts)
            addresses = {Part.KAFKA: found.kafka, Part.REDIS: found.redis, Part.CLICKHOUSE: found.clickhouse}
            yield Own(folder, {part: address for part, address in addresses.items() if address is not None})
        finally:
            down(folder)
