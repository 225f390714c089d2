"""What ClickHouse says about recommendations: what was chosen of them, by part, and what no catalogue has."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.recommendation_topics import ITEMS
from sinks.base import Encoded
from tests.contracts.results import NOON, click, item_demand, recommendations, suggestion
from tests.sinks.analysts import emptied, keep, rows

HOUR, DAY = 3_600_000, 86_400_000
GUIDE = (Path(__file__).parents[2] / "docs" / "recommendations.md").read_text()
QUERIES = dict(re.findall(r"^### (.+?)\n[^#]*?```sql\n(.+?)```", GUIDE, re.MULTILINE | re.DOTALL))


def entry(item: str, version: int = 1, **changed: Any) -> Encoded:
    fields = {"event_id": f"{item}@{version}", "event_time": _text(NOON + version), "item": item}
    return Encoded(ITEMS.name, json.dumps(fields | changed).encode())


def chose(item: str, at: int, kind: str = "purchase", **changed: Any) -> Encoded:
    about = {"item": item, "offer": None, "decision_id": None, "event_time": _text(at)}
    return click(f"{kind}-{item}-{at}-{changed.get('user')}", kind, **about | changed)


def _text(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def told(client: Any, columns: str) -> list[tuple[Any, ...]]:
    return rows(client, f"SELECT {columns} FROM v_suggestions ORDER BY event_time, position")


def test_recommendations_are_kept_whole(client: Any) -> None:
    made = recommendations(personal=False)
    keep(client, made)
    keep(client, made)
    ((items, weights, personal, spans),) = rows(
        client, "SELECT items, weights, personal, dateDiff('hour', event_time, expires_at) FROM v_recommendations"
    )
    assert [(each["item"], each["score"], each["part"], each["reason"], each["parts"]) for each in items] == [
        (each.item, each.score, each.part, each.reason, each.parts) for each in made.items
    ]
    assert (weights, personal, spans) == (made.weights, False, 24)


@pytest.mark.parametrize("kind", ["purchase", "redemption", "rating"])
def test_a_recommended_item_that_is_chosen_is_a_hit(client: Any, kind: str) -> None:
    keep(client, recommendations(), chose("airplane", NOON + HOUR, kind))
    assert told(client, "position, item, chosen") == [(1, "alien", False), (2, "airplane", True)]


@pytest.mark.parametrize(
    "other",
    [
        chose("alien", NOON - 1),
        chose("alien", NOON + DAY + 1),
        chose("alien", NOON + HOUR, "view"),
        chose("alien", NOON + HOUR, user="bob"),
        chose("alien", NOON + HOUR, tenant="acme"),
    ],
    ids=["before", "too late", "only viewed", "somebody else", "another tenant"],
)
def test_nothing_else_is_one(client: Any, other: Encoded) -> None:
    keep(client, recommendations(), other)
    assert told(client, "chosen") == [(False,), (False,)]


def test_a_choice_counts_for_what_was_recommended_at_its_time(client: Any) -> None:
    newer = recommendations("c2", event_time=NOON + HOUR)
    keep(client, recommendations(), newer, chose("alien", NOON + 2 * HOUR))
    assert told(client, "cause, item") == [("c1", "alien"), ("c1", "airplane"), ("c2", "alien"), ("c2", "airplane")]
    assert told(client, "chosen") == [(False,), (False,), (True,), (False,)]


def test_what_a_choice_itself_brings_does_not_take_its_hit_away(client: Any) -> None:
    after = recommendations("c2", event_time=NOON + HOUR, items=(suggestion("airplane"),))
    keep(client, recommendations(), after, chose("alien", NOON + HOUR))
    assert told(client, "chosen") == [(True,), (False,), (False,)]


def test_the_last_entry_of_an_item_holds(client: Any) -> None:
    entries = entry("alien", title="Alien", categories=["Horror"], merchant="m1"), entry("alien", 2, status="paused")
    keep(client, *entries)
    asked = "SELECT item, title, categories, merchant, status FROM v_items"
    assert rows(client, asked) == [("alien", "", [], "", "paused")]
    keep(client, entry("alien", 3, title="Alien", categories=["Horror", "Space"]))
    assert rows(client, asked) == [("alien", "Alien", ["Horror", "Space"], "", "active")]


def test_hits_are_told_by_day_and_part(client: Any) -> None:
    keep(client, recommendations(), chose("alien", NOON + HOUR))
    found = rows(client, "SELECT day, part, recommended, hits, hit_rate FROM recommendation_hits ORDER BY part")
    assert found == [(date(2018, 7, 1), "content", 1, 1, 1.0), (date(2018, 7, 1), "trending", 1, 0, 0.0)]


@pytest.fixture(scope="module")
def history(engine: Any) -> Any:
    made = [recommendations(f"c{n}", user=f"u{n}", personal=n > 0) for n in range(5)]
    chosen = [chose("alien", NOON + HOUR, user=f"u{n}") for n in range(3)]
    demand = [item_demand(n, "unlisted one", unlisted=max(n - 2, 0)) for n in range(1, 5)]
    keep(emptied(engine), *made, *chosen, *demand, item_demand(), entry("alien"), entry("psycho", title="Psycho"))
    return engine


ANSWERS: dict[str, Any] = {
    "Which parts are right": [("content", 5, 3, 0.6), ("trending", 5, 0, 0.0)],
    "Places": [(1, 4, 2, 0.5), (2, 4, 0, 0.0)],
    "In demand and in no catalogue": [("unlisted one", 4, 2)],
    "Never recommended": [("psycho", "Psycho")],
}


def test_every_question_of_the_guide_is_asked_here() -> None:
    assert set(QUERIES) == set(ANSWERS)


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answers_of_the_guide_are_right(history: Any, question: str) -> None:
    assert rows(history, QUERIES[question]) == ANSWERS[question]
