"""An upgrade in a drill: the states and the log of one release are taken over by workers that are set up otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.records import AnyRecord
from schemas.results import JournalEntry
from streams.assembly import fraud_pipeline
from streams.chaos.evidence import Said
from streams.inbound import Edge
from streams.journal import Begin, JournalReplay, Log, journal
from streams.pipeline import Pipeline
from streams.settings import Settings
from streams.state_codec import state_codec
from streams.task import Task

CHANGED: Mapping[str, Any] = {
    "champion": "next",
    "model": "logistic",
    "shadows": {"fraud": "additive"},
    "publish_every": 60,
    "review": 0.1,
    "batch": 37,
    "cache": 50,
}
"""The settings of the next release's workers: another champion of another kind, the last one in its shadow, another
threshold, other batches."""


@dataclass(frozen=True)
class Upgrade:
    """The settings from then on, and how many commits each task had made by then."""

    settings: Settings
    commits: Mapping[str, int]

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of what has changed."""
        return {f"HEADRACE_{name.upper()}": _spelled(value) for name, value in CHANGED.items()}

    def is_before(self, each: Said) -> bool:
        """Return whether a worker of the release before has said something."""
        return each.sequence <= self.commits.get(each.task, 0)


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def upgraded(settings: Settings, commits: Mapping[str, int]) -> Upgrade:
    """Return the upgrade of workers that were told these settings."""
    return Upgrade(settings.model_copy(update=dict(CHANGED)), commits)


class UpgradedReplay:
    """A replay by the journal through an upgrade: each task by the old pipeline, and then by the new one, which begins
    with the states of the old as they are stored. `tasks` hold the last states."""

    def __init__(self, old: Pipeline, upgrade: Upgrade, log: Log, edge: Edge) -> None:
        self._log = log
        self._upgrade = upgrade
        self._old = JournalReplay(old, log, edge)
        self._new = JournalReplay(fraud_pipeline(upgrade.settings), log, edge)
        self.tasks: dict[str, Task] = self._new.tasks

    def records(self) -> Iterator[AnyRecord]:
        """Step everything, one task after the other; yield all that is said."""
        for (name, partition), entries in sorted(journal(self._log).items()):
            task, found = f"{name}/{partition}", [entry for _, entry in sorted(entries.items())]
            before = [entry for entry in found if entry.sequence <= self._upgrade.commits.get(task, 0)]
            yield from self._old.task(name, partition, before)
            yield from self._new.task(name, partition, found[len(before) :], self._begin(task, before))

    def _begin(self, name: str, before: list[JournalEntry]) -> Begin:
        task = self._old.tasks[name]
        codec = state_codec(task.processor)
        states = {key: codec.decode(codec.encode(state)) for key, state in task.states.items()}
        dues = {key: due for key, state in states.items() if (due := getattr(state, "due", None)) is not None}
        sequence = before[-1].sequence if before else 0
        return Begin(sequence, task.watermark, task.sources(), self._old.heard[name], dues, states)
