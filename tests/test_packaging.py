"""One distribution owns the six folders, and what is installed says which version it is."""

import tomllib
from importlib.metadata import entry_points, metadata, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from streams.inbound import CODE_VERSION

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("streams", "processors", "schemas", "online_models", "sinks", "api")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_generic_name_is_ours_alone(folder: str) -> None:
    assert set(packages_distributions().get(folder, ["headrace"])) == {"headrace"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_imported_from_this_checkout(folder: str) -> None:
    spec = find_spec(folder)
    assert spec is not None
    assert spec.origin == str(ROOT / folder / "__init__.py")


def test_the_wheel_holds_the_six_folders() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_typed_and_says_what_it_is_and_no_more(folder: str) -> None:
    assert (ROOT / folder / "py.typed").exists()
    (line,) = (ROOT / folder / "__init__.py").read_text().splitlines()
    assert line.startswith('"""')


def test_no_test_folder_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_version_is_the_projects_everywhere() -> None:
    assert version("headrace") == PROJECT["project"]["version"] == CODE_VERSION


def test_it_is_never_uploaded_by_mistake() -> None:
    assert "Private :: Do Not Upload" in (metadata("headrace").get_all("Classifier") or [])


def test_the_command_is_there() -> None:
    (command,) = entry_points(group="console_scripts", name="headrace")
    assert callable(command.load())
