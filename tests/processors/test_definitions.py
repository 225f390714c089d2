"""What can be declared, and how a wrong declaration is told."""

from typing import Any

import pytest

from processors.definitions import Feature, features_from
from schemas.records import DAY


def test_spans_are_written_as_people_write_them() -> None:
    (feature,) = features_from([{"name": "n", "window": "7d", "delay": "1h30m", "ttl": 5_000}])
    assert (feature.window, feature.delay, feature.ttl) == (7 * DAY, 5_400_000, 5_000)


def test_features_can_be_declared_in_python_and_checked_the_same_way() -> None:
    assert features_from([Feature(name="n", window="1d")])[0].window == DAY
    with pytest.raises(ValueError, match="feature 1: Input should be"):
        features_from([5])


def test_an_absent_window_is_the_lifetime() -> None:
    assert features_from([{"name": "n", "window": None}])[0].window is None


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"window": "5s"}, "feature f: window: it is between 1m and 90d"),
        ({"window": "91d"}, "feature f: window: it is between 1m and 90d"),
        ({"window": "7 parsecs"}, "feature f: window: '7 parsecs' is no duration"),
        ({"window": True}, "feature f: window: True is no duration"),
        ({"delay": -1}, "feature f: delay: Input should be greater than or equal to 0"),
        ({"agregate": "sum"}, "feature f: agregate: Extra inputs are not permitted"),
        ({"aggregate": "median"}, "feature f: aggregate: Input should be 'count', 'sum'"),
        ({"aggregate": "sum"}, "feature f: of: aggregate 'sum' needs the field it aggregates"),
        ({"calendar": "weekend", "ttl": "1d"}, "feature f: ttl: a fact of the event itself has no window"),
        ({"where": {"field": "mcc"}}, "feature f: where: a filter asks"),
        ({"where": {"equals": "x"}}, "feature f: where.field: Field required"),
        ({"where": {"field": "fraud", "equals": "1"}}, "feature f: where: events can't be filtered by `fraud`"),
        ({"aggregate": "last", "of": "fraud", "exact": False}, "feature f: exact: tiles don't know single events"),
    ],
)
def test_a_wrong_declaration_names_the_feature_and_the_field(declared: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        features_from([{"name": "fine"}, {"name": "f"} | declared])


def test_a_feature_without_a_name_is_known_by_its_place() -> None:
    with pytest.raises(ValueError, match="feature 2: name: Field required"):
        features_from([{"name": "fine"}, {"window": "1d"}])


def test_two_features_never_share_a_name() -> None:
    with pytest.raises(ValueError, match="declared twice: a, b; every feature has a name of its own"):
        features_from([{"name": name} for name in ("b", "a", "c", "a", "b")])
