"""What ClickHouse says about rewards: the newest that is known of each slot, and why a click earned none."""

import re
from datetime import date
from pathlib import Path
from typing import Any

from tests.contracts.results import NOON, offer_example, reward_stray
from tests.sinks.analysts import DAY, keep, rows

PAGE = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text()
((QUERY),) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def test_a_reward_that_is_not_told_is_the_label(client: Any) -> None:
    keep(client, offer_example("d1", label=True), offer_example("d2"), offer_example("d3", reward=0.25))
    asked = "SELECT event_id, label, reward, late, before FROM v_rewards ORDER BY event_id"
    assert rows(client, asked) == [
        ("d1", True, 1.0, False, None),
        ("d2", False, 0.0, False, None),
        ("d3", False, 0.25, False, None),
    ]


def test_a_correction_takes_the_place_of_its_example(client: Any) -> None:
    first = offer_example("d1", label=True)
    corrected = offer_example("d1", matured_at=first.matured_at + DAY, late=True, before=1.0)
    keep(client, corrected)
    keep(client, first)
    assert rows(client, "SELECT label, reward, late, before FROM v_rewards") == [(False, 0.0, True, 1.0)]


def test_strays_are_counted_by_day_and_reason(client: Any) -> None:
    strays = [reward_stray(f"c{n}", user=f"u{n % 2}", event_time=NOON + n * DAY // 2) for n in range(3)]
    keep(client, *strays, reward_stray("c0", user="u0"), reward_stray("c3", kind="reversal", reason="no_decision"))
    assert rows(client, QUERY) == [
        (date(2018, 7, 1), "redemption", "never_shown", 1, 1),
        (date(2018, 7, 1), "reversal", "no_decision", 1, 1),
        (date(2018, 7, 2), "redemption", "never_shown", 2, 2),
    ]
