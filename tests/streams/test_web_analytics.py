"""The mapping of a web-analytics export that ships says what customers did with offers and items."""

import json
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet
import pytest

from schemas.errors import BadMessage
from schemas.events import Click
from schemas.topics import CLICKS
from streams.mappings import Mapping, records

SHIPPED = Path(__file__).parents[2] / "examples" / "mappings" / "ga4_events.yaml"
START = 1_767_261_600_000_000
"""2026-01-01 10:00 UTC in microseconds, which is how the export tells time."""

ABOUT = ("event_name", "user", "promotion_id", "item_id", "session", "decision_id")
VISIT = [
    ("session_start", "u1", None, None, 77, None),
    ("page_view", "u1", None, None, 77, None),
    ("view_promotion", "u1", "coffee", "(not set)", 77, "request-1"),
    ("view_promotion", "u1", "books", "(not set)", 77, "request-1"),
    ("select_promotion", "u1", "coffee", "(not set)", 77, "request-1"),
    ("view_item", "u1", "(not set)", "beans-1kg", 77, None),
    ("add_to_cart", "u1", "coffee", "beans-1kg", 77, None),
    ("add_to_wishlist", "u1", "(not set)", "mug", 77, None),
    ("purchase", "u1", "coffee", "beans-1kg", 77, None),
    ("refund", "u1", "coffee", "beans-1kg", 78, None),
]
EXPECTED = [
    ("impression", "coffee", None, "request-1"),
    ("impression", "books", None, "request-1"),
    ("click", "coffee", None, "request-1"),
    ("view", None, "beans-1kg", None),
    ("wishlist", None, "mug", None),
    ("purchase", "coffee", "beans-1kg", None),
    ("reversal", "coffee", "beans-1kg", None),
]


def rows() -> list[dict[str, Any]]:
    """Return a visit as the query in the mapping gives it, an event a second."""
    return [
        {"event_id": f"u1-{n}", "event_timestamp": START + n * 1_000_000 + 250_000}
        | dict(zip(ABOUT, each, strict=True))
        for n, each in enumerate(VISIT)
    ]


def exported(folder: Path, kind: str) -> Path:
    path = folder / f"events.{kind}"
    if kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows()), path)
    elif kind == "csv":
        lines = [",".join("" if value is None else str(value) for value in row.values()) for row in rows()]
        path.write_text("\n".join([",".join(rows()[0]), *lines]) + "\n")
    else:
        # BigQuery writes whole numbers as text in JSON, and leaves out what is null.
        told = [{name: str(value) for name, value in row.items() if value is not None} for row in rows()]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in told))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_visit_is_told_as_what_the_customer_did(tmp_path: Path, kind: str) -> None:
    found = [record.message for record in records(exported(tmp_path, kind), CLICKS, Mapping.load(SHIPPED))]
    assert [(each.kind, each.offer, each.item, each.decision_id) for each in found] == EXPECTED
    assert [each.session for each in found] == ["77"] * 6 + ["78"]
    assert {each.user for each in found} == {"u1"}
    assert [each.time_ms() for each in found] == [START // 1_000 + 250 + n * 1_000 for n in (2, 3, 4, 5, 7, 8, 9)]


def test_what_is_chosen_is_what_has_a_kind_and_every_kind_is_one() -> None:
    mapping = Mapping.load(SHIPPED)
    kind = mapping.fields["kind"].text
    assert kind is not None
    assert mapping.only is not None
    assert list(kind.table) == list(mapping.only.values)
    assert set(kind.table.values()) <= set(get_args(Click.model_fields["kind"].annotation))


def test_an_event_of_nobody_is_refused_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f"{json.dumps(row | {'user': None})}\n" for row in rows()[2:4]))
    refused: list[tuple[int, str]] = []

    def refuse(row: int, bad: BadMessage) -> None:
        refused.append((row, bad.detail))

    assert list(records(path, CLICKS, Mapping.load(SHIPPED), refuse=refuse)) == []
    assert [row for row, _ in refused] == [0, 1]
    assert "user" in refused[0][1]
