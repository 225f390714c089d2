"""The architecture page is held to the code: what it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("ARCHITECTURE.md", "README.md", "CONTRIBUTING.md")
NAMED = re.compile(r"(?:tests|streams|sinks|schemas|online_models|processors|api|docs|examples|benchmarks)/[\w./-]+\w")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_a_page_names_is_there(page: str) -> None:
    named = set(NAMED.findall((ROOT / page).read_text()))
    assert named
    assert not {name for name in named if not (ROOT / name).exists()}
