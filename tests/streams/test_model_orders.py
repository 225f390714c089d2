"""An order is given only where something can come of it; what it is made of is what the log and Redis still have."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
import pytest
from typer.testing import CliRunner

from processors.learning import FraudLearner
from processors.model_orders import AnyVersion, Excluded
from processors.ranker_learning import OfferLearner
from schemas.offer_results import OfferExample, RankerVersion
from schemas.offer_topics import OFFER_EXAMPLES
from schemas.records import Record
from schemas.results import Example, ModelVersion
from schemas.topics import EXAMPLES
from sinks.memory import MemoryValues
from sinks.serving import Reader, apply, serve
from streams.kafka_log import Stored
from streams.main import app
from streams.model_orders import Asked, Keys, Rebuilt, Refused, doubts, logged, rebuild, rollback
from streams.outbox import HEADER, origin_header, outbound
from streams.task import Task
from tests.builders import NOON, heard, outcomes, record, signed, verified
from tests.processors.offer_world import offer_example
from tests.streams.memory_log import MemoryLog

FEATURES = ("amount", "risk")
KEYS = Keys(signed, verified, FEATURES, "f", "ann")
LIES = range(45, 50)
T = TypeVar("T")


def asked(model: str, excluded: str, start: int | None = None) -> Asked:
    return Asked(model, [Excluded.parsed(excluded)], start)


def versions(examples: list[Example]) -> list[ModelVersion]:
    learner = FraudLearner(FEATURES, "f", signed, verified, {"fraud": "logistic"}, every=20, at_most=10**15)
    return heard(Task(learner, {}, {}), *examples)


def served(found: Sequence[AnyVersion]) -> Reader:
    values = MemoryValues()
    for version in found:
        made = record(version)
        asyncio.run(apply(values, serve(made, made.topic.encode(version))))
    return Reader(values)


def now(question: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(question)


def rebuilt(examples: list[Example], excluded: str, start: int | None = None, keys: Keys = KEYS) -> Rebuilt:
    """Return what comes of rebuilding the model that learned these, which are in the log."""
    log = MemoryLog()
    log.append(EXAMPLES, examples)
    return now(rebuild(served(versions(examples)), log, asked("fraud", excluded, start), keys))


class Cut(MemoryLog):
    """A log whose first record is gone."""

    def read(self, topic: str, partition: int, first: int, last: int) -> Iterable[Stored]:
        """Return what is left."""
        return super().read(topic, partition, max(first, 1), last)


def versions_of_offers(examples: list[OfferExample]) -> list[RankerVersion]:
    return heard(Task(OfferLearner(signed, verified, every=20), {}, {}), *examples)


def of_offers(taken: list[OfferExample], left: list[OfferExample], excluded: str, start: int | None = None) -> Rebuilt:
    """Return what comes of rebuilding a ranker, where the log has only some of what it learned."""
    log = MemoryLog()
    log.append(OFFER_EXAMPLES, left)
    return now(rebuild(served(versions_of_offers(taken)), log, asked("offers", excluded, start), KEYS))


def ranked(count: int = 300) -> tuple[list[OfferExample], list[RankerVersion]]:
    """Return outcomes of offers, and the versions of the ranker that learned them."""
    examples = [offer_example(n, policy="softmax" if n in LIES else "greedy") for n in range(count)]
    return examples, versions_of_offers(examples)


def test_a_ranker_goes_back_too() -> None:
    _, found = ranked()
    order = now(rollback(served(found), "offers", 2, "default", "ann"))
    assert (order.blob, order.examples, order.frauds) == (found[1].blob, found[1].examples, found[1].rewarded)


def test_a_ranker_is_rebuilt_without_what_one_policy_showed() -> None:
    examples, found = ranked()
    log = MemoryLog()
    log.append(OFFER_EXAMPLES, [*examples, examples[3]])
    anew = now(rebuild(served(found), log, asked("offers", "policy=softmax", 0), KEYS))
    assert (anew.base, anew.learned, anew.excluded) == (None, 295, len(LIES))


@pytest.mark.parametrize(
    ("excluded", "why"),
    [("terminal=t1", "outcomes of offers have no terminal"), ("user=nobody", "nothing to leave out")],
)
def test_what_cannot_be_left_out_of_a_ranker_is_refused(excluded: str, why: str) -> None:
    examples, found = ranked(230)
    log = MemoryLog()
    log.append(OFFER_EXAMPLES, examples)
    with pytest.raises(Refused, match=why):
        now(rebuild(served(found), log, asked("offers", excluded), KEYS))


def test_a_model_that_too_few_outcomes_are_left_for_is_not_put_in_the_place_of_one_that_works() -> None:
    examples, found = ranked(230)
    bad = [msgspec.structs.replace(each, user="bot") if n < 100 else each for n, each in enumerate(examples)]
    log = MemoryLog()
    log.append(OFFER_EXAMPLES, bad)
    with pytest.raises(Refused, match="130 outcomes are left, too few to teach offers anew"):
        now(rebuild(served(found), log, asked("offers", "user=bot", 0), KEYS))


def test_corrections_of_one_outcome_are_outcomes_of_their_own() -> None:
    log, first = MemoryLog(), offer_example(1)
    late = offer_example(1, late=True, before=0.0, reward=1.0)
    log.append(OFFER_EXAMPLES, [first, late, first, late])
    assert [each.example for each in logged(log, OfferExample)] == [first, late]


def test_going_back_takes_the_version_as_it_was_published() -> None:
    found = versions(outcomes(80, LIES))
    order = now(rollback(served(found), "fraud", 2, "default", "ann"))
    assert (order.blob, order.examples, order.by) == (found[1].blob, 40, "ann")
    assert order.event_time == found[-1].event_time


@pytest.mark.parametrize(
    ("model", "version", "why"),
    [
        ("fraud", 9, "fraud@9 is not kept"),
        ("fraud", 4, "fraud@4 is the newest version"),
        ("frond", 1, "no model 'frond' .* there is fraud"),
    ],
)
def test_there_is_no_going_back_to_what_is_not_there(model: str, version: int, why: str) -> None:
    with pytest.raises(Refused, match=why):
        now(rollback(served(versions(outcomes(80, LIES))), model, version, "default", ""))


def test_a_model_is_rebuilt_from_the_last_version_before_what_misled_it() -> None:
    examples = outcomes(80, LIES)
    anew = rebuilt(examples, "source=liar")
    assert anew.base is not None
    assert (anew.base.version, anew.learned, anew.excluded) == (2, 35, 5)
    assert (anew.order.examples, anew.order.why) == (75, "rebuilt from fraud@2 without source=liar")


def test_it_may_be_rebuilt_from_another_version_or_from_nothing() -> None:
    of_one, of_nothing = (rebuilt(outcomes(80, LIES), "source=liar", start) for start in (1, 0))
    assert of_one.base is not None
    assert (of_one.base.version, of_one.learned) == (1, 55)
    assert (of_nothing.base, of_nothing.learned, of_nothing.order.why) == (
        None,
        75,
        "rebuilt from nothing without source=liar",
    )


@pytest.mark.parametrize(
    ("excluded", "start", "keys", "why"),
    [
        ("source=nobody", None, KEYS, "none of the 80 outcomes in the log has source=nobody"),
        ("event_id=e3", None, KEYS, "say --from 0"),
        ("source=liar", 7, KEYS, "fraud@7 is not kept"),
        ("source=liar", None, KEYS._replace(features_id="g"), "other features"),
        ("offer=coffee", None, KEYS, "outcomes of fraud have no offer, but source, user, "),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(excluded: str, start: int | None, keys: Keys, why: str) -> None:
    with pytest.raises(Refused, match=why):
        rebuilt(outcomes(80, LIES), excluded, start, keys)


def test_the_log_tells_each_outcome_once() -> None:
    log, examples = MemoryLog(), outcomes(4)
    log.append(EXAMPLES, [*examples, examples[1], None, msgspec.structs.replace(examples[2], label=True)])
    assert [(each.id, each.example.label) for each in logged(log, Example)] == [
        ("e0", True),
        ("e1", False),
        ("e2", False),
        ("e3", False),
        ("e2", True),
    ]


def test_what_another_tenant_or_another_label_says_of_an_id_is_an_outcome_of_its_own() -> None:
    log, first = MemoryLog(), offer_example(1)
    others = [msgspec.structs.replace(first, label=not first.label), msgspec.structs.replace(first, tenant="shop")]
    log.append(OFFER_EXAMPLES, [first, *others])
    assert [each.example for each in logged(log, OfferExample)] == [first, *others]


def test_outcomes_are_known_by_the_ids_that_their_learner_knew_them_by() -> None:
    log, examples = MemoryLog(), outcomes(2)
    for each in (*examples, examples[0]):
        said = outbound(Record(EXAMPLES, each, f"{each.event_id}>outcomes.0"), EXAMPLES.encode(each))
        log.append(EXAMPLES, [each], headers=[origin_header("outcomes/0", 1, 0, said)])
    log.append(EXAMPLES, [examples[0]], headers=[(HEADER, b"?")])
    assert [each.id for each in logged(log, Example)] == ["e0>outcomes.0", "e1>outcomes.0"]


def test_a_ranker_is_rebuilt_with_what_matured_early_and_was_learned_late() -> None:
    examples = [
        offer_example(n, user="bot" if n == 349 else "ann") for n in (*range(300), *range(350, 400), *range(300, 350))
    ]
    anew = of_offers(examples, examples, "user=bot")
    assert anew.base is not None
    assert anew.base.learned_through == NOON + 399
    assert (anew.order.examples, anew.excluded, anew.doubtful, anew.unseen) == (399, 1, 0, False)


def test_what_the_log_no_longer_has_may_have_misled_the_model_too_and_that_is_told() -> None:
    examples = [offer_example(n, user="bot" if n in (30, 270) else "ann") for n in range(400)]
    assert of_offers(examples, examples, "user=bot", 0).unseen is False
    cut = of_offers(examples, examples[100:], "user=bot")
    assert cut.base is not None
    assert cut.base.examples > 30
    assert cut.unseen
    (told,) = doubts(cut, "user=bot")
    assert f"{cut.base.event_id} had learned outcomes that the log no longer has" in told
    assert "--from 0, which learns nothing but the 299 others in the log" in told
    assert list(doubts(of_offers(examples, examples[100:], "user=bot", 0), "user=bot")) == []


def test_a_log_that_has_lost_its_beginning_is_seen_even_where_a_version_counts_no_more_than_it_has() -> None:
    examples = outcomes(80, LIES)
    log = Cut()
    log.append(EXAMPLES, [None, *examples])
    anew = now(rebuild(served(versions(examples)), log, asked("fraud", "source=liar"), KEYS))
    assert (anew.learned, anew.unseen) == (35, True)


def test_a_version_of_an_earlier_release_is_placed_by_time_and_what_may_be_missing_is_told() -> None:
    examples = outcomes(80, LIES)
    late = msgspec.structs.replace(examples[42], matured_at=examples[39].matured_at)
    taken = [*examples[:40], late, *examples[40:42], *examples[43:]]
    before = [msgspec.structs.replace(each, last="") for each in versions(taken)]
    log = MemoryLog()
    log.append(EXAMPLES, taken)
    anew = now(rebuild(served(before), log, asked("fraud", "source=liar"), KEYS))
    assert (anew.learned, anew.doubtful, anew.unseen) == (34, 1, False)
    (told,) = doubts(anew, "source=liar")
    assert "it may lack some of the 1 that were passed over" in told


def test_what_corrects_is_learned_only_where_the_worker_learns_it() -> None:
    examples = [offer_example(n, user="bot" if n == 260 else "ann") for n in range(300)]
    late = [msgspec.structs.replace(each, late=True, before=each.earned, reward=1.0) for each in examples[:40]]
    log = MemoryLog()
    log.append(OFFER_EXAMPLES, [*examples, *late])
    found = served(versions_of_offers(examples))
    with_them, without = (
        now(rebuild(found, log, asked("offers", "user=bot"), KEYS._replace(corrects=each))) for each in (True, False)
    )
    assert with_them.order.blob != without.order.blob
    assert (with_them.kept, without.kept) == (339, 299)


@pytest.mark.parametrize("command", [("rollback", "fraud", "--to", "1"), ("rebuild", "fraud", "--exclude", "source=x")])
def test_without_services_the_commands_say_so(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REDIS", "redis://127.0.0.1:1")
    monkeypatch.setattr("streams.kafka_log.TIMEOUT_SECONDS", 0.2)
    monkeypatch.setenv("HEADRACE_KAFKA", "127.0.0.1:1")
    told = CliRunner().invoke(app, ["models", *command])
    assert told.exit_code == 1
    assert told.stderr.strip()
    assert told.exception is None or isinstance(told.exception, SystemExit)
