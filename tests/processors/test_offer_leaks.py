"""No ranking knows what was not known when it was made: neither what follows, nor what became of offers still open."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.offer_results import Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import DAY, AnyRecord
from schemas.topics import CLICKS, OFFERS, PROFILES, TRANSACTIONS
from streams.replay import replay
from tests.builders import HOUR
from tests.processors.offer_world import CATALOGUE, click, payment, pipeline, profile, record, world

FEW = settings(max_examples=8)


def ranked(stream: Iterable[AnyRecord]) -> list[Ranking]:
    """Return every ranking that the pipeline says about a stream."""
    return [said.message for said in replay(pipeline(), stream) if said.topic is RANKINGS]


def told(rankings: Iterable[Ranking]) -> list[bytes]:
    return [RANKINGS.encode(ranking) for ranking in rankings]


@pytest.fixture(scope="module")
def stream() -> list[AnyRecord]:
    return world()


@pytest.fixture(scope="module")
def rankings(stream: list[AnyRecord]) -> list[Ranking]:
    return ranked(stream)


def redemptions(stream: Iterable[AnyRecord]) -> list[AnyRecord]:
    return [each for each in stream if each.topic is CLICKS and each.message.kind == "redemption"]


def another(each: AnyRecord) -> AnyRecord:
    """Return something else that might have happened at the same time to the same customer."""
    message = each.message
    if each.topic is TRANSACTIONS:
        return record(payment(message.time_ms(), "99.00", event_id=message.event_id, user=message.user))
    if each.topic is PROFILES:
        return record(profile(message.time_ms(), event_id=message.event_id, user=message.user, age=99))
    kind = {"view": "redemption", "redemption": "view"}.get(message.kind, "impression")
    return record(click(kind, message.time_ms(), event_id=message.event_id, user=message.user, offer="beans"))


def test_the_stream_has_rankings_by_a_model_that_learned_of_open_and_of_late_offers(rankings: list[Ranking]) -> None:
    assert len(rankings) == 600
    assert sum(ranking.source == "model" for ranking in rankings) > 200
    assert len({ranking.version for ranking in rankings}) > 3


@FEW
@given(data=st.data())
def test_altering_what_follows_changes_no_ranking(
    stream: list[AnyRecord], rankings: list[Ranking], data: st.DataObject
) -> None:
    since = data.draw(st.integers(len(CATALOGUE), len(stream)))
    made = sum(each.topic is CLICKS and each.message.kind == "impression" for each in stream[:since])
    altered = ranked([*stream[:since], *map(another, stream[since:])])
    assert told(altered[:made]) == told(rankings[:made])


@FEW
@given(data=st.data())
def test_what_becomes_of_an_offer_changes_no_ranking_of_others_before_its_window_is_over(
    stream: list[AnyRecord], rankings: list[Ranking], data: st.DataObject
) -> None:
    chosen = data.draw(st.sampled_from(redemptions(stream)))
    altered = ranked(each for each in stream if each is not chosen)
    name = chosen.id.removeprefix("redeemed-")
    (over,) = [ranking.slots[0].window_end for ranking in rankings if ranking.event_id == f"d-{name}"]
    user = chosen.message.user

    def of_others(all_of_them: list[Ranking]) -> list[bytes]:
        return told(ranking for ranking in all_of_them if ranking.event_time <= over and ranking.user != user)

    assert of_others(altered) == of_others(rankings)


def test_what_became_of_offers_does_change_the_rankings_that_follow(
    stream: list[AnyRecord], rankings: list[Ranking]
) -> None:
    gone = {each.id for each in redemptions(stream)[:100]}
    altered = ranked(each for each in stream if each.id not in gone)
    late = max(ranking.event_time for ranking in rankings)
    assert told(altered) != told(rankings)
    assert told(each for each in altered if each.event_time == late) != told(
        each for each in rankings if each.event_time == late
    )


def test_a_window_is_over_only_when_time_has_passed_it(stream: list[AnyRecord]) -> None:
    for said in replay(pipeline(), stream):
        if said.topic.name == "offer-examples" and not said.message.late:
            assert said.watermark is not None
            assert said.message.matured_at < said.watermark
            assert said.message.matured_at - said.message.event_time in (3 * DAY, 5 * DAY, 7 * DAY)


def test_every_rewarded_send_is_learned_from_once(stream: list[AnyRecord]) -> None:
    end = record(click("view", stream[-1].time + 30 * DAY + HOUR, user="u0"))
    examples = [each.message for each in replay(pipeline(), [*stream, end]) if each.topic.name == "offer-examples"]
    said = [example for example in examples if not example.late]
    sent = [each.message for each in stream if each.topic is CLICKS and each.message.kind == "impression"]
    known = {example.decision for example in said}
    assert len(known) == len(said)
    assert known <= {each.decision_id for each in sent if each.offer != "news"}
    assert {each.decision_id for each in sent if each.offer != "news" and each.user == "u0"} <= known


def test_the_catalogue_is_the_first_that_is_read(stream: list[AnyRecord]) -> None:
    assert all(each.topic is OFFERS for each in stream[: len(CATALOGUE)])
