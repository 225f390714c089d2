"""Reading a log of shown items, rewards and propensities from files, for the evaluation of policies."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import ValidationError

from processors.candidate_policies import indexed
from processors.policy_evaluation import Column, Log
from streams.cleaning import Rule
from streams.files import Rows, read

OPEN_BANDIT = Path(__file__).parents[1] / "examples" / "mappings" / "open_bandit.yaml"
MOST_VALUES = 5
"""Most values of a feature of words that get a number of their own: the most frequent ones."""

Told = Callable[[int], None]


class PolicyLogError(ValueError):
    """The log cannot be evaluated; the message names the column or row, and the way out."""


class LogMapping(Rule):
    """Which columns of a file are the action, its reward and its propensity, and optionally position and features."""

    action: str = "action"
    reward: str = "reward"
    propensity: str = "propensity"
    position: str | None = None
    features: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a mapping. Raises PolicyLogError, which names the file and the key."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise PolicyLogError(f"{path} cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the mapping"
            raise PolicyLogError(f"{path}: {key}: {first['msg']}") from None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all columns that are named."""
        return (self.action, self.reward, self.propensity, *self.context)

    @property
    def context(self) -> tuple[str, ...]:
        """Return the columns that contexts are made of."""
        return self.features if self.position is None else (self.position, *self.features)


@dataclass(frozen=True)
class PolicyLog:
    """A log with the names of its actions, and a context for each row: a one, then its features as numbers."""

    log: Log
    arms: tuple[str, ...]
    contexts: Column


def read_policy_log(paths: Sequence[Path], mapping: LogMapping | None = None, told: Told = lambda _: None) -> PolicyLog:
    """Read the files, one after the other, as one log.

    Without a mapping, columns are called as in `LogMapping`, or as in the Open Bandit Dataset. `told` is called with
    the number of rows read. Raises PolicyLogError for what is missing, and UnreadableFile.
    """
    columns: dict[str, list[Any]] = {}
    count = 0
    for path in paths:
        for rows in read(path):
            mapping = mapping or _guessed(rows)
            _append(columns, rows, mapping, path)
            count += rows.count
            told(count)
    if mapping is None or not count:
        raise PolicyLogError(f"{', '.join(map(str, paths))}: the log has no rows")
    return _log(columns, mapping)


def _guessed(rows: Rows) -> LogMapping:
    """Return our own mapping, with position where there is one, or else that of the Open Bandit Dataset."""
    there = LogMapping.load(OPEN_BANDIT)
    if set(there.columns) <= set(rows.columns):
        return there
    return LogMapping(position="position" if "position" in rows.columns else None)


def _append(columns: dict[str, list[Any]], rows: Rows, mapping: LogMapping, path: Path) -> None:
    for index, bad in rows.refused.items():
        raise PolicyLogError(f"{path}: row {len(columns.get(mapping.action, ())) + index}: {bad}")
    for name in mapping.columns:
        if name not in rows.columns:
            raise PolicyLogError(
                f"{path} has no column {name!r}, it has {', '.join(sorted(rows.columns))}: "
                "say with --map which columns are action, reward and propensity"
            )
        columns.setdefault(name, []).extend(rows.columns[name])


def _log(columns: dict[str, list[Any]], mapping: LogMapping) -> PolicyLog:
    _refuse_gaps(columns[mapping.action], mapping.action)
    arms, action = indexed([str(value) for value in columns[mapping.action]])
    reward, propensity = (_numbers(columns[name], name) for name in (mapping.reward, mapping.propensity))
    try:
        log = Log(action, reward, propensity)
    except ValueError as error:
        raise PolicyLogError(str(error)) from None
    parts = [np.ones((len(action), 1))]
    parts += [encoded(columns[name], words=name == mapping.position) for name in mapping.context]
    return PolicyLog(log, arms, np.concatenate(parts, axis=1))


def _numbers(values: Iterable[Any], name: str) -> Column:
    values = list(values)
    _refuse_gaps(values, name)
    found = np.array([_number(value) for value in values])
    wrong = np.flatnonzero(np.isnan(found))
    if len(wrong):
        raise PolicyLogError(f"row {wrong[0]}: {name} {values[wrong[0]]!r} is not a number")
    return found


def _refuse_gaps(values: Sequence[Any], name: str) -> None:
    gaps = [row for row, value in enumerate(values) if value is None]
    if gaps:
        raise PolicyLogError(f"row {gaps[0]} has no {name}, nor have {len(gaps) - 1} others: leave such rows out")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def encoded(values: Sequence[Any], *, words: bool = False) -> Column:
    """Return a feature as columns of numbers: numbers standardised, gaps at the mean; words by the frequent ones.

    >>> encoded(["a", "b", "a"]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    numbers: Column = np.array([_number(value) for value in values], dtype=np.float64)
    known = numbers[~np.isnan(numbers)]
    if words or len(known) < sum(value is not None for value in values):
        return _one_of_each(np.array([str(value) for value in values]))
    if not len(known):
        return np.zeros((len(values), 1))
    scale = float(known.std()) or 1.0
    standard: Column = (np.where(np.isnan(numbers), known.mean(), numbers) - known.mean()) / scale
    return standard[:, None]


def _one_of_each(words: npt.NDArray[np.str_]) -> Column:
    names, counts = np.unique(words, return_counts=True)
    frequent = np.sort(names[np.argsort(-counts, kind="stable")[:MOST_VALUES]])
    return np.equal(words[:, None], frequent[None, :]).astype(np.float64)
