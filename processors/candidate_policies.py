"""Candidate policies over a log: what each would have done in every row, knowing only the rows before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from online_models.arms import Outcome
from online_models.policies import Policy, Slate
from processors.policy_evaluation import Actions, Column, Log

Told = Callable[[int], None]


def progressive(
    policy: Policy,
    log: Log,
    arms: tuple[str, ...],
    contexts: Column,
    *,
    every: int = 50,
    seed: int = 0,
    told: Told = lambda _: None,
) -> Column:
    """Return `probability[row, arm]` of a policy that learns the log's rewards as it goes, `every` rows at once.

    A row's probabilities come from the rows before its batch: the estimates of what the policy earns then stay
    unbiased though it learns. Every arm is open in every row; a row's context is that of all arms. `told` is called
    with the number of rows done. Raises ValueError for a reward that the policy cannot learn.
    """
    probability = np.empty((len(log.action), len(arms)))
    chance = np.random.default_rng(seed)
    for start in range(0, len(probability), every):
        rows = range(start, min(start + every, len(probability)))
        probability[rows.start : rows.stop] = _batch(policy, arms, contexts[rows.start : rows.stop], chance)
        for row in rows:
            context = tuple(contexts[row].tolist())
            policy.learn(Outcome(arms[log.action[row]], float(log.reward[row]), context=context))
        told(rows.stop)
    return probability


def _batch(policy: Policy, arms: tuple[str, ...], contexts: Column, chance: np.random.Generator) -> Column:
    """Return the probabilities of each row; equal contexts have equal ones."""
    open_ = np.ones(len(arms), dtype=np.bool_)
    distinct, of_row = np.unique(contexts, axis=0, return_inverse=True)
    found = [policy.chances(Slate(arms, np.tile(each, (len(arms), 1))), chance)(open_) for each in distinct]
    return np.array(found)[of_row.ravel()]


def fixed(action: int, actions: int, rows: int) -> Column:
    """Return the probabilities of always choosing one action."""
    probability = np.zeros((rows, actions))
    probability[:, action] = 1.0
    return probability


def indexed(names: list[str]) -> tuple[tuple[str, ...], Actions]:
    """Return the distinct actions in order of their names, and the index of each row's."""
    arms, action = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    return tuple(arms.tolist()), action.astype(np.intp)
