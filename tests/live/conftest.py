"""What tests of whole workers ask for: services that they may fill and stop as they like."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.services.supervisor import Part, down, up


@pytest.fixture(scope="module")
def folder(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hold a broker and a Redis of a module's own, since it uses the real topics; `kafka` says whether they can run."""
    folder = tmp_path_factory.mktemp("workers")
    up(folder, (Part.KAFKA, Part.REDIS))
    yield folder
    down(folder)
