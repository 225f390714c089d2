"""A trial from the first request to its end, through the whole pipeline of offers: the better policy is left."""

import random
from collections.abc import Iterable, Iterator

import pytest

from processors.trial import Trial
from schemas.offer_results import Ranking
from schemas.records import AnyRecord
from schemas.rollout_results import Rollout
from streams.assembly import offer_pipeline
from streams.replay import Replay
from streams.settings import Settings
from streams.state_codec import state_codec
from tests.builders import HOUR, NOON
from tests.processors.offer_world import click, offer, record, request

RATES = {"coffee": 0.75, "cake": 0.1, "beans": 0.15, "tea": 0.2}
"""How often an offer that is shown is taken up: who shows the best one earns far more than who shows any."""

Stream = list[AnyRecord]


def engine(champion: str, challenger: str) -> Replay:
    trial = {"challenger_policy": challenger, "challenger_share": 0.5, "rollout_auto": True, "rollout_every": 20}
    return Replay(offer_pipeline(Settings.model_validate({"policy": champion, "ranking_throttle": 0, **trial})))


def lived(running: Replay, customers: int = 330) -> tuple[Stream, Stream]:
    """Return what happens and what is said while customers ask one after the other, and take up what they are shown."""
    chance, said = random.Random(4), list[AnyRecord]()
    happened = [record(offer(name, duration_days=1)) for name in RATES]
    for each in happened:
        said += running.step(each)
    for number in range(customers):
        at, user = NOON + number * HOUR, f"u{number}"
        heard = _told(running, happened, [record(request(f"d-{number}", at, user=user, slots=1))])
        (shown,) = (each.message.slots[0].offer for each in heard if isinstance(each.message, Ranking))
        taken = ("impression", "view", "redemption") if chance.random() < RATES[shown] else ("impression", "view")
        about = {"user": user, "offer": shown, "decision_id": f"d-{number}", "propensity": None}
        clicks = [
            record(click(kind, at + 60_000 * n, event_id=f"{kind}-{user}", **about)) for n, kind in enumerate(taken)
        ]
        said += [*heard, *_told(running, happened, clicks)]
    return happened, said


def _told(running: Replay, happened: Stream, records: Stream) -> Stream:
    happened += records
    return [said for each in records for said in running.step(each)]


def rankings(said: Iterable[AnyRecord]) -> list[Ranking]:
    return [each.message for each in said if isinstance(each.message, Ranking)]


def stands(said: Iterable[AnyRecord]) -> list[Rollout]:
    return [each.message for each in said if isinstance(each.message, Rollout)]


def restarted(running: Replay, happened: Stream, every: int) -> Iterator[AnyRecord]:
    """Yield what is said when every state is put into bytes and back after every so many records."""
    for number, each in enumerate(happened):
        yield from running.step(each)
        if number % every == 0:
            for task in running.tasks.values():
                codec = state_codec(task.processor)
                for key, state in list(task.states.items()):
                    task.states[key] = codec.decode(codec.encode(state))


@pytest.mark.parametrize(
    ("champion", "challenger", "end"), [("uniform", "greedy", "promoted"), ("greedy", "uniform", "rolled_back")]
)
def test_the_better_policy_is_left(champion: str, challenger: str, end: str) -> None:
    happened, said = lived(engine(champion, challenger))
    trial, made, stood = Trial(champion, challenger, 0.5), rankings(said), stands(said)
    *before, last = stood
    assert {each.state for each in before} == {"running"}
    assert (last.state, last.by) == (end, "test")
    running = [each for each in made if each.trial]
    ended = made[len(running) :]
    assert running == made[: len(running)]
    assert all(each.arm == trial.arm("default", each.user) for each in running)
    assert all(each.policy == {"champion": champion, "challenger": challenger}[each.arm] for each in running)
    assert all(each.shadow is not None and each.shadow.policy != each.policy for each in running)
    assert len(ended) > 20
    assert {(each.policy, each.trial, each.shadow) for each in ended} == {("greedy", "", None)}
    assert {each.arm for each in ended} == {"challenger" if end == "promoted" else "champion"}
    again = restarted(engine(champion, challenger), happened, every=173)
    assert [each.topic.encode(each.message) for each in again] == [each.topic.encode(each.message) for each in said]


def test_without_a_challenger_nobody_is_on_trial() -> None:
    running = Replay(offer_pipeline(Settings(policy="uniform", ranking_throttle=0)))
    _, said = lived(running, customers=30)
    assert {(each.arm, each.trial, each.shadow) for each in rankings(said)} == {("champion", "", None)}
    assert stands(said) == []
