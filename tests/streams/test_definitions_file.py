"""Feature definitions are read from YAML, and what is wrong in them is told by file, feature and field."""

from pathlib import Path

import pytest

from processors.definitions import Feature
from schemas.records import DAY
from streams.definitions_file import DefinitionsError, load_definitions

EXAMPLES = Path(__file__).parents[2] / "examples" / "features"


def declared(folder: Path, text: str) -> Path:
    path = folder / "features.yaml"
    path.write_text(text)
    return path


def test_a_file_is_a_list_of_features(tmp_path: Path) -> None:
    assert load_definitions(declared(tmp_path, "- {name: n, window: 7d}")) == (Feature(name="n", window=7 * DAY),)


def test_defaults_fill_in_what_a_feature_does_not_say(tmp_path: Path) -> None:
    text = "defaults: {entity: terminal, window: 1d}\nfeatures: [{name: a}, {name: b, window: 2d}]"
    assert load_definitions(declared(tmp_path, text)) == (
        Feature(name="a", entity="terminal", window=DAY),
        Feature(name="b", entity="terminal", window=2 * DAY),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {name: f, window: 5 parsecs}", "features.yaml: feature f: window: '5 parsecs' is no duration"),
        ("features: []", "features.yaml: it declares no list of features"),
        ("", "features.yaml: it declares no list of features"),
        ("{features: [{name: f}], extra: 1}", "features.yaml: extra: the file has `features` and maybe `defaults`"),
        ("{features: [{name: f}", "features.yaml cannot be read"),
        ("- 5", "features.yaml: feature 1: Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_told_by_file_feature_and_field(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DefinitionsError, match=complaint):
        load_definitions(declared(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionsError, match="cannot be read"):
        load_definitions(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    assert load_definitions(path)


def test_the_handbook_s_features_have_the_handbook_s_names() -> None:
    names = [feature.name for feature in load_definitions(EXAMPLES / "handbook.yaml")]
    assert names[:2] == ["TX_DURING_WEEKEND", "TX_DURING_NIGHT"]
    assert sorted(names[2:]) == sorted(
        f"{what}_{days}DAY_WINDOW"
        for what in ("CUSTOMER_ID_NB_TX", "CUSTOMER_ID_AVG_AMOUNT", "TERMINAL_ID_NB_TX", "TERMINAL_ID_RISK")
        for days in (1, 7, 30)
    )
