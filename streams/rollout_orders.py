"""How a challenger's trial stands by the log, and the orders to end it."""

from collections.abc import Callable, Iterator
from time import monotonic, sleep, time_ns
from typing import Literal

from schemas.errors import BadMessage
from schemas.records import Record
from schemas.rollout_results import Rollout, RolloutOrder
from schemas.rollout_topics import ROLLOUT_ORDERS, ROLLOUTS
from streams.journal import Log
from streams.model_orders import POLL_SECONDS, Refused

End = Literal["promoted", "rolled_back"]


def stands(log: Log) -> dict[str, Rollout]:
    """Return how the newest trial of each model stands, by the model's id."""
    return {each.model: each for each in _said(log)}


def ordered(found: Rollout | None, model: str, trial: str | None, end: End, by: str, why: str) -> RolloutOrder:
    """Return the order that ends a trial: that of the settings, or, where they have none, the one `found` is about.

    Raises Refused when there is none, or when it has ended so already.
    """
    name = trial or (found and found.trial)
    if not name:
        raise Refused(f"no trial of {model!r} is known: set HEADRACE_CHALLENGER_POLICY, as for the worker")
    if found is not None and (found.trial, found.state) == (name, end):
        raise Refused(f"the trial {name} is {end.replace('_', ' ')} already, by {found.by}: {found.why}")
    now = time_ns() // 1_000_000
    return RolloutOrder(
        event_id=f"{name}>{end}@{now}",
        event_time=now if found is None else found.event_time,
        model=model,
        trial=name,
        state=end,
        why=why,
        by=by,
        given_at=now,
    )


def give(log: Log, order: RolloutOrder, publish: Callable[[Record[RolloutOrder]], object], seconds: float) -> Rollout:
    """Publish an order and return how the trial stands by it. Raises Refused when nobody obeys in that time."""
    publish(Record(ROLLOUT_ORDERS, order, order.event_id))
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        found = next((each for each in _said(log) if each.order == order.event_id), None)
        if found is not None:
            return found
        sleep(POLL_SECONDS)
    raise Refused(
        f"the order {order.event_id} is in the log, but no worker has obeyed it in {seconds:g} s: "
        f"is one running, with this trial in its settings?"
    )


def _said(log: Log) -> Iterator[Rollout]:
    """Yield what the log still has of how trials stand; a model's words are in order."""
    for partition, end in sorted(log.ends(ROLLOUTS.name).items()):
        for raw in log.read(ROLLOUTS.name, partition, 0, end - 1):
            try:
                yield ROLLOUTS.decode(raw.value)
            except BadMessage:
                continue  # a worker made a dead letter of it
