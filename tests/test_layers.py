"""Who may import whom, and where a library may be imported."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
FOLDERS = ("schemas", "online_models", "processors", "sinks", "streams", "api")
LIBRARIES = {
    "faust": {"streams"},
    "aiokafka": {"streams"},
    "confluent_kafka": {"streams"},
    "redis": {"sinks", "streams"},
    "clickhouse_connect": {"sinks", "streams"},
    "chdb": {"sinks"},
    "river": {"online_models"},
    "numba": {"online_models"},
    "fastapi": {"api"},
}
"""Where each library may be imported. Commands in `streams` build the clients that `sinks` work with."""


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Yield each library a folder imports, with the file that does."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0], str(path.relative_to(ROOT))
            elif isinstance(node, ast.Import):
                yield from ((name.name.partition(".")[0], str(path.relative_to(ROOT))) for name in node.names)


def test_every_import_contract_is_kept() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_library_is_imported_where_it_belongs(folder: str) -> None:
    foreign = {(library, file) for library, file in imported(folder) if folder not in LIBRARIES.get(library, FOLDERS)}
    assert foreign == set()
