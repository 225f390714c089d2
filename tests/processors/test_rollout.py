"""A trial counts each customer once, says how it stands, and ends on evidence or by order, never otherwise."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.sequential import Comparison
from processors.rollout import BY_TEST, Counted, OfferRollout, StoppingRule, TrialState
from processors.trial import Trial
from schemas.records import Record
from schemas.rollout_results import Rollout, RolloutOrder
from schemas.rollout_topics import ROLLOUT_ORDERS, ROLLOUTS
from streams.task import Task
from tests.builders import NOON
from tests.processors.offer_world import offer_example, payment, record

TRIAL = Trial("greedy", "thompson", 0.5)
BY_ITSELF = StoppingRule(by_itself=True, every=25)


def outcome(number: int, won: bool, trial: Trial = TRIAL, **changed: Any) -> Any:
    """Return what the first show to another customer earned."""
    user = f"u{number}"
    fields = {"arm": trial.arm("default", user), "trial": trial.name, "user": user, "label": won}
    return record(offer_example(number, **fields | changed))


def outcomes(count: int, champion: int, challenger: int, trial: Trial = TRIAL) -> list[Any]:
    """Return the outcomes of customers, of whom one in so many redeems under each arm."""
    one_in = {"champion": champion, "challenger": challenger}
    return [outcome(n, n % one_in[trial.arm("default", f"u{n}")] == 0, trial) for n in range(1, count + 1)]


def order(state: str = "rolled_back", name: str = "o-1", **changed: Any) -> Any:
    fields: dict[str, Any] = {
        "model": "offers",
        "trial": TRIAL.name,
        "state": state,
        "why": "too dear",
        "by": "ann",
        "given_at": NOON,
    }
    return Record(ROLLOUT_ORDERS, RolloutOrder(event_id=name, event_time=0, **fields | changed), name)


def task(rule: StoppingRule = BY_ITSELF, trial: Trial = TRIAL) -> Task:
    return Task(OfferRollout(trial, rule), {}, {})


def said(running: Task, *records: Any) -> list[Rollout]:
    return [each.message for one in records for each in running.step(one)]


def test_a_better_challenger_is_promoted_and_nothing_changes_that_but_an_order() -> None:
    running = task()
    stands = said(running, *outcomes(600, champion=5, challenger=2))
    assert [stand.state for stand in stands][:2] == ["running", "running"]
    last = stands[-1]
    assert (last.state, last.by, last.decided_at) == ("promoted", BY_TEST, last.event_time)
    assert last.better >= 1 / last.alpha > last.worse
    assert last.challenger_mean is not None
    assert last.champion_mean is not None
    assert last.low <= last.challenger_mean - last.champion_mean <= last.high
    assert last.why.startswith(f"thompson earned {last.challenger_mean:.4f} for {last.challenger_outcomes} customers")
    assert said(running, *outcomes(900, champion=1, challenger=9)) == []
    (back,) = said(running, order())
    assert (back.state, back.by, back.why, back.order) == ("rolled_back", "ann", "too dear", "o-1")
    assert (back.better, back.champion_outcomes) == (last.better, last.champion_outcomes)


def test_a_worse_challenger_is_rolled_back() -> None:
    last = said(task(), *outcomes(900, champion=2, challenger=6))[-1]
    assert (last.state, last.by) == ("rolled_back", BY_TEST)
    assert last.worse >= 20 > last.better


def test_arms_that_are_alike_go_on() -> None:
    stands = said(task(), *outcomes(1_500, champion=3, challenger=3))
    assert {stand.state for stand in stands} == {"running"}
    assert stands[-1].champion_outcomes + stands[-1].challenger_outcomes == 1_476


def test_it_is_said_at_the_first_outcome_and_then_now_and_then() -> None:
    stands = said(task(StoppingRule(every=25)), *outcomes(60, 3, 3))
    assert [stand.champion_outcomes + stand.challenger_outcomes for stand in stands] == [1, 26, 51]
    assert [stand.event_id for stand in stands] == ["offers@1", "offers@2", "offers@3"]
    assert stands[-1].event_time == NOON + 51


def test_nobody_ends_it_who_was_not_told_to() -> None:
    stands = said(task(StoppingRule(every=100)), *outcomes(900, champion=9, challenger=1))
    assert stands[-1].better > 1e6
    assert {stand.state for stand in stands} == {"running"}


def test_a_customer_counts_once_by_what_was_on_top() -> None:
    running = task(StoppingRule(every=1))
    first = outcome(1, won=True)
    ignored = [
        outcome(2, True, position=2),
        outcome(3, True, trial=Trial("greedy", "softmax", 0.5)),
        record(offer_example(4)),
    ]
    assert len(said(running, first, *ignored)) == 1
    assert said(running, outcome(1, False, decision="another"), first) == []
    assert len(said(running, outcome(2, True), outcome(1, True, tenant="shop"))) == 2


def test_another_challenger_begins_a_new_trial() -> None:
    running = task()
    before = said(running, *outcomes(600, champion=5, challenger=2))[-1]
    other = Trial("greedy", "softmax", 0.5)
    again = Task(OfferRollout(other, BY_ITSELF), running.states, {})
    (first,) = said(again, outcome(1, True, other))
    assert (first.state, first.trial, first.challenger) == ("running", other.name, "softmax")
    assert first.champion_outcomes + first.challenger_outcomes == 1
    assert int(first.event_id.split("@")[1]) == int(before.event_id.split("@")[1]) + 1


def test_an_order_is_obeyed_once_before_any_outcome_and_only_for_its_trial() -> None:
    running = task()
    (found,) = said(running, order("promoted"), order("promoted"), order(name="o-2", trial="another"))
    assert (found.state, found.by, found.champion_mean, found.better) == ("promoted", "ann", None, 1.0)
    assert said(running, order("rolled_back", "o-3"))[0].state == "rolled_back"


def test_what_is_said_can_be_read_again() -> None:
    for stand in said(task(), *outcomes(600, champion=5, challenger=2), order()):
        assert ROLLOUTS.decode(ROLLOUTS.encode(stand)) == stand


def test_a_restored_trial_goes_on_the_same() -> None:
    stream = outcomes(300, champion=5, challenger=2)
    whole, halved = task(), task()
    expected = said(whole, *stream)
    found = said(halved, *stream[:140])
    for key, state in list(halved.states.items()):
        halved.states[key] = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=TrialState)
    assert found + said(halved, *stream[140:]) == expected
    assert halved.states == whole.states


@given(names=st.lists(st.text(max_size=3)))
def test_few_customers_are_told_apart_exactly(names: list[str]) -> None:
    counted, seen = Counted(), set[str]()
    for name in names:
        assert counted.add(name) == (name not in seen)
        seen.add(name)


def test_of_many_customers_as_many_are_left_out_as_it_says() -> None:
    counted = Counted()
    for number in range(50_000):
        counted.add(f"u{number}")
    left_out = [not counted.add(f"new-{number}") for number in range(2_000)]
    assert sum(left_out) / 2_000 == pytest.approx(1 / 60, abs=0.01)


def test_an_alpha_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="the chance of being misled"):
        StoppingRule(alpha=1.0)


def test_a_message_of_another_sort_is_a_bug() -> None:
    with pytest.raises(TypeError, match="rollout does not read Transaction"):
        OfferRollout(TRIAL).step(TrialState(TRIAL.name, Comparison(0.5)), record(payment()), {})
