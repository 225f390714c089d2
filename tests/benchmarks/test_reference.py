"""Every contestant does the same work: the reference function, whoever calls it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest

from benchmarks.contest import check_every_event_has_a_result, check_reference_results
from benchmarks.headrace_reference import Payment, reference_pipeline
from benchmarks.peers.bare_loop import Loop
from benchmarks.transactions import Message, chargebacks, transactions
from schemas.records import DAY, Record
from streams.replay import replay

EVENTS = 400


@pytest.fixture(autouse=True)
def generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_DATA", raising=False)


@pytest.fixture
def messages() -> list[Message]:
    return transactions(EVENTS)


@pytest.fixture
def results(messages: list[Message]) -> list[bytes]:
    return Loop().run([value for _, value in messages])


def by_headrace(messages: list[Message]) -> Iterator[dict[str, Any]]:
    pipeline = reference_pipeline("in", "out")
    (source,) = pipeline.sources
    payments = (msgspec.json.decode(value, type=Payment) for _, value in messages)
    for said in replay(pipeline, (Record(source, payment, payment.event_id) for payment in payments)):
        if said.topic.name == "out":
            yield orjson.loads(said.topic.encode(said.message))


def test_headrace_gives_the_bare_loops_results_to_the_bit(messages: list[Message], results: list[bytes]) -> None:
    assert list(by_headrace(messages)) == [orjson.loads(result) for result in results]


def test_quix_gives_the_bare_loops_results_to_the_bit(messages: list[Message], results: list[bytes]) -> None:
    pytest.importorskip("quixstreams", reason="the peers are not installed: uv sync --all-groups")
    from benchmarks.peers.quix import Score, enrich

    states: dict[str, Any] = {}
    score, found = Score(), []
    for _, value in messages:
        event = orjson.loads(value)
        enriched = enrich(event, Kept(states, f"user {event['user']}"))  # type: ignore[arg-type]
        found.append(score(enriched, Kept(states, f"terminal {event['terminal']}")))  # type: ignore[arg-type]
    assert found == [orjson.loads(result) for result in results]


class Kept:
    """The state of one key, as a stream engine hands it out."""

    def __init__(self, states: dict[str, Any], key: str) -> None:
        self._states, self._key = states, key

    def get(self, name: str) -> Any:
        return self._states.get(f"{self._key} {name}")

    def set(self, name: str, value: Any) -> None:
        self._states[f"{self._key} {name}"] = value


def test_right_results_pass_the_check_in_any_order(messages: list[Message], results: list[bytes]) -> None:
    check_reference_results(messages, reversed(results))
    check_every_event_has_a_result(messages, reversed(results))


def test_a_missing_result_fails_both_checks(messages: list[Message], results: list[bytes]) -> None:
    with pytest.raises(RuntimeError, match=f"1 of {EVENTS} events"):
        check_reference_results(messages, results[1:])
    with pytest.raises(RuntimeError, match=f"1 of {EVENTS} events"):
        check_every_event_has_a_result(messages, results[1:])


def test_a_wrong_feature_fails_the_check(messages: list[Message], results: list[bytes]) -> None:
    wrong = orjson.loads(results[7])
    wrong["features"][0] += 1e-12
    with pytest.raises(RuntimeError, match=f"1 of {EVENTS} events"):
        check_reference_results(messages, [*results[:7], orjson.dumps(wrong), *results[8:]])


def test_generated_transactions_are_the_same_every_time() -> None:
    assert transactions(50) == transactions(50)


def test_a_chargeback_comes_a_week_later_and_only_once_it_is_known() -> None:
    messages = transactions(100_000)
    times = {event["event_id"]: event["event_time"] for event in (orjson.loads(value) for _, value in messages)}
    feedback = [orjson.loads(value) for _, value in chargebacks(messages)]
    assert 100 < len(feedback) < 1_000
    assert all(each["event_time"] == times[each["about"]] + 7 * DAY <= max(times.values()) for each in feedback)
    assert chargebacks(messages[:50_000]) == chargebacks(messages)[: len(chargebacks(messages[:50_000]))]
