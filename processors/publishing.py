"""When a learner publishes a version of its model: now and then, and at once where it has obeyed an order."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING

from schemas.results import ModelOrder

if TYPE_CHECKING:
    from processors.learning import Learner
    from processors.ranker_learner import RankerLearner


def is_due(learner: Learner | RankerLearner, now: int, every: int, at_most: int) -> bool:
    """Return whether a version is due: after `every` examples or `at_most` milliseconds, once the model is ready."""
    if learner.since_published < every and now - learner.published_at < at_most:
        return False
    learner.learn()
    return learner.ready


def has_obeyed(learner: Learner | RankerLearner, order: ModelOrder, verify: Callable[[bytes], bytes]) -> bool:
    """Let a learner go on from what an order says, and return whether it did.

    It does not where the order was taken already, `verify` refuses its blob, or that is of another model.
    """
    if learner.order == order.event_id:
        return False
    try:
        learner.obey(order, verify(b64decode(order.blob)))
    except ValueError:
        return False
    return True
