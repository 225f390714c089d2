"""The demo runs payments, offers and purchases through all pipelines and tells what came of them."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from schemas.privacy import Tokeniser
from schemas.records import DAY, AnyRecord
from schemas.topics import DEAD_LETTERS, TRANSACTIONS
from streams.assembly import fraud_pipeline, offer_pipeline, recommendation_pipeline
from streams.demo import Sources, demo_world, first, from_file, simulated
from streams.demo_live import Conversation
from streams.demo_screen import progress, summary, to_try
from streams.item_simulator import Shoppers
from streams.main import app
from streams.offer_simulator import Customers
from streams.replay import Replay, replay
from streams.services.errors import ServiceFailed
from streams.services.supervisor import Part, down, status, up
from streams.settings import Settings
from streams.tally import Tally

EVENTS = 300
SUMMARY = [
    "events",
    "scores",
    "alerts",
    "dead_letters",
    "events_per_second",
    "auc",
    "average_precision",
    "clickhouse_rows",
    "redis_scores",
    "offers",
    "recommendations",
]
OFFERS = [
    "requests",
    "rankings",
    "unasked_rankings",
    "impressions",
    "redemptions",
    "reward_rate",
    "random_rate",
    "ranker_version",
]


RECOMMENDED = [
    "recommendations",
    "visits",
    "shown",
    "bought",
    "hit_rate",
    "random_rate",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HEADRACE_FOLDER", str(tmp_path))
    yield tmp_path / "demo"
    down(tmp_path / "demo")


def payments(events: int) -> list[AnyRecord]:
    return list(first(events, simulated(demo_world(events, 1), Tokeniser({"1": b"key"}))))


@cache
def asked(events: int) -> tuple[Tally, Sources]:
    """Return what payments and offers came to, of customers who ask often."""
    customers = Customers(demo_world(events, 1), requests_per_day=0.6)
    tally, sources = Tally("fraud"), Sources(payments(events), customers)
    engine = Replay(offer_pipeline(Settings(ranking_throttle=0)))
    for record in sources.happening():
        tally.take(record)
        for said in engine.step(record):
            sources.hear(said)
            tally.take(said)
    return tally, sources


@cache
def visited() -> tuple[Tally, Sources]:
    """Return what came of visits to a shop, of customers who come often."""
    shoppers = Shoppers(demo_world(600, 1), visits_per_day=0.5)
    tally, sources = Tally("fraud"), Sources(payments(600), shoppers=shoppers)
    engine = Replay(recommendation_pipeline(Settings()))
    for record in sources.happening():
        for said in (record, *engine.step(record)):
            sources.hear(said)
            tally.take(said)
    return tally, sources


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["demo", "--no-serve", *arguments])


def shown(tally: Tally, expected: int | None) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(progress(tally, expected))
    return captured.get()


@pytest.mark.parametrize("events", [10, 300, 30_000])
def test_a_world_holds_the_payments_asked_for(events: int) -> None:
    world = demo_world(events, 1)
    assert world.customers * world.days >= events
    assert world.customers * 2 * 60 <= max(events, 6_000)


def test_a_run_ends_with_the_last_payment_asked_for_and_has_their_feedback_between() -> None:
    records = payments(2_500)
    assert sum(record.topic is TRANSACTIONS for record in records) == 2_500
    assert any(record.topic is not TRANSACTIONS for record in records)
    assert all(a.time <= b.time for a, b in pairwise(records))


def test_simulated_payments_come_without_card_numbers_and_are_the_same_for_the_same_seed() -> None:
    assert all(record.message.card.startswith("tok_1_") for record in payments(50))
    assert payments(50) == payments(50)


def test_a_bad_row_of_a_file_is_a_dead_letter_among_the_others(tmp_path: Path) -> None:
    rows = [{"event_id": f"e{n}", "event_time": n, "user": "ann", "amount": n - 1, "currency": "EUR"} for n in range(3)]
    file = tmp_path / "payments.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    found = list(from_file(file, None, Settings()))
    assert [record.topic for record in found] == [DEAD_LETTERS, TRANSACTIONS, TRANSACTIONS]
    assert (found[0].message.event_id, found[0].message.reason) == ("transactions/0/0", "invalid_field")


def test_a_bad_row_at_the_end_of_a_file_is_not_lost(tmp_path: Path) -> None:
    file = tmp_path / "payments.jsonl"
    file.write_text("no JSON")
    assert [record.topic for record in from_file(file, None, Settings())] == [DEAD_LETTERS]


def test_the_tally_counts_what_the_pipeline_said_and_how_good_it_was() -> None:
    tally, records = Tally("fraud"), payments(2_500)
    for record in records:
        tally.take(record)
    for said in replay(fraud_pipeline(Settings(label_window=2 * DAY)), records):
        tally.take(said)
    assert (tally.events, tally.scores, tally.dead_letters) == (2_500, 2_500, 0)
    assert tally.matured > 1_000
    assert tally.rate > 0
    assert all(0 < (figure or 0) < 1 for figure in tally.quality().values())


def test_before_any_label_quality_is_unknown() -> None:
    assert Tally("fraud").quality() == {"auc": None, "average_precision": None}


def test_the_screen_shows_the_newest_alerts_with_their_reasons_and_the_model() -> None:
    tally, records = Tally("fraud"), payments(3_000)
    assert "no model yet" in shown(tally, None)
    for said in replay(fraud_pipeline(Settings(label_window=DAY)), records):
        tally.take(said)
    text = shown(tally, 3_000)
    assert all(column in text for column in ("event time ", "decision", "why"))
    assert tally.newest[0].event_id in text
    assert tally.newest[0].reasons[0].text in " ".join(text.split())
    assert tally.version is not None
    assert f"model fraud@{tally.version.version} has learned" in text


def test_the_summary_and_what_to_try_name_what_there_is() -> None:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(summary({"events": 20_000, "auc": 0.81234, "average_precision": None, "offers": {"requests": 7}}))
        console.print(to_try("http://127.0.0.1:8000", {"event_id": "tx-7", "user": "ann", "ranking": "bob"}))
    text = captured.get()
    assert all(part in text for part in ("20,000", "0.8123", "–", "http://127.0.0.1:8000/scores/tx-7", "explain tx-7"))
    assert all(part in text for part in ("offers: requests", "/users/bob/offers"))
    assert "/recommendations" not in text
    with console.capture() as captured:
        console.print(to_try("http://127.0.0.1:8000", {"event_id": "tx-7", "user": "ann", "recommended": "eve"}))
    assert "/users/eve/recommendations" in captured.get()


def test_customers_are_shown_what_is_ranked_and_what_comes_of_it_is_learned() -> None:
    tally, sources = asked(2_500)
    found = tally.offers.summary(sources.random_rate)
    assert list(found) == OFFERS
    assert found["requests"] == found["rankings"] > 400
    assert found["impressions"] > 2 * found["rankings"]
    assert 0 < found["random_rate"] < found["reward_rate"] < 1
    assert found["ranker_version"] > 0
    assert sources.waiting == 0


def test_the_screen_shows_the_newest_rankings_and_how_much_was_redeemed() -> None:
    early, late = (asked(events)[0] for events in (150, 2_500))
    assert "no ranker yet" in shown(early, None)
    text = shown(late, None)
    assert late.offers.newest[0].user in text
    assert all(part in text for part in ("ranker offers@", "of what was shown was redeemed"))


def test_shoppers_are_recommended_to_and_the_screen_shows_it() -> None:
    tally, sources = visited()
    found = tally.recommendations.summary(sources.shoppers)
    assert list(found) == RECOMMENDED
    assert found["recommendations"] > found["visits"] > 50
    assert found["shown"] == 5 * found["visits"]
    assert found["bought"] > 0
    text = shown(tally, None)
    newest = tally.recommendations.newest[0]
    assert all(part in text for part in (newest.user, newest.items[0].item, newest.items[0].reason[:20]))


def test_a_file_has_nobody_who_asks_for_offers() -> None:
    tally, sources = Tally("fraud"), Sources(payments(20))
    assert [each.topic for each in sources.happening()].count(TRANSACTIONS) == 20
    assert (sources.waiting, sources.random_rate) == (0, None)
    assert tally.offers.summary(None)["reward_rate"] is None
    assert tally.recommendations.summary(None) == dict.fromkeys(RECOMMENDED[:4], 0) | dict.fromkeys(RECOMMENDED[4:])
    assert "ranker" not in shown(tally, 20)


def test_a_day_begins_once_the_requests_of_the_one_before_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.demo_live.LOST_SECONDS", 0.01)
    world = demo_world(300, 1)
    conversation = Conversation(Sources(payments(300), Customers(world)), Tally("fraud"), lambda: None)
    published: list[AnyRecord] = []
    with pytest.raises(ServiceFailed, match="requests for offers, and no ranking"):
        published.extend(conversation.happening())


def test_a_conversation_that_is_answered_goes_on_to_its_end_and_counts_both_sides() -> None:
    customers, tally, engine = Customers(demo_world(300, 1)), Tally("fraud"), Replay(offer_pipeline(Settings()))
    conversation = Conversation(Sources(payments(300), customers), tally, lambda: None)
    for record in conversation.happening():
        for said in engine.step(record):
            conversation.hear(said)
    assert tally.events == 300
    assert tally.offers.requests == tally.offers.rankings > 0
    assert tally.offers.unasked > 0
    assert tally.offers.clicks["impression"] > 0


@pytest.mark.live
def test_the_demo_prints_one_object_and_ends_its_services(folder: Path) -> None:
    told = run("--json", "--events", str(EVENTS))
    assert told.exit_code == 0, told.stderr
    result = json.loads(told.stdout)
    assert list(result) == SUMMARY
    assert list(result["offers"]) == OFFERS
    assert list(result["recommendations"]) == RECOMMENDED
    assert result["offers"]["rankings"] == result["offers"]["requests"]
    assert (result["events"], result["scores"], result["redis_scores"]) == (EVENTS, EVENTS, EVENTS)
    assert result["clickhouse_rows"] >= 3 * EVENTS
    assert not any(health.running for health in status(folder).values())


@pytest.mark.live
def test_a_file_replaces_an_earlier_demo_and_its_bad_rows_are_counted(folder: Path, tmp_path: Path) -> None:
    up(folder, (Part.REDIS,))
    (folder / "left").write_text("over")
    file = tmp_path / "payments.csv"
    file.write_text("id,when,who,what\n1,2026-01-01T00:00:00Z,ann,1.50\n2,2026-01-01T00:00:00Z,ann,-1\n")
    mapping = tmp_path / "map.yaml"
    mapping.write_text(
        "topic: transactions\nconstants: {currency: EUR}\n"
        "fields: {event_id: id, event_time: when, user: who, amount: what}\n"
    )
    told = run(str(file), "--map", str(mapping))
    assert told.exit_code == 0, told.stderr
    assert "dead letters 1 " in " ".join(told.stdout.split())
    assert not (folder / "left").exists()


def test_a_wrong_mapping_is_told_plainly(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    file.write_text("id\n1\n")
    told = run(str(file), "--map", str(file))
    assert told.exit_code == 1
    assert "payments.csv" in told.stderr
