"""A campaign: every scenario under every seed, each result written down as soon as it is there."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import msgspec

from streams.chaos.drill import Plan, run
from streams.chaos.launching import Launch, from_nothing, prepared
from streams.chaos.recordings import recorded
from streams.chaos.scenarios import Scenario
from streams.chaos.stage import own_stage
from streams.chaos.verdict import Result, Verdict, summary

WORKER = {
    "throw_away": "1",
    "label_window": "3d",
    "publish_every": "100",
    "batch": "100",
    "stalled_after": "30s",
}


@dataclass(frozen=True)
class Pace:
    """How much time drills take: within how many seconds a stream is published, and when a worker is missed.

    `launch` returns what starts their workers.
    """

    seconds: float
    session: str
    launch: Callable[[], Launch]


THOROUGH = Pace(6.0, "6s", lambda: from_nothing)
"""Workers start as in earnest, and are missed as soon as brokers allow without being told otherwise."""

SHORT = Pace(2.0, "3s", prepared)
"""Nothing is waited for that proves nothing; recovery is shorter than it can be in earnest."""

Tell = Callable[[str, int, int], None]
"""Told before each drill: which it is, how many are done, and how many there are to do."""


@dataclass(frozen=True)
class Campaign:
    """What to run: `seeds` drills of each scenario, over `events` records each, noted in `folder`.

    With `resume`, what the notes there tell already is not run again. Notes of another `pace` than THOROUGH
    should be in a folder of their own, for recovery is not comparable.
    """

    scenarios: Sequence[Scenario]
    seeds: int
    events: int
    folder: Path
    resume: bool = False
    pace: Pace = THOROUGH

    def run(self, tell: Tell) -> list[Result]:
        """Run all drills that are missing and return the result of each scenario. Raises ServiceFailed."""
        notes = Notes(self.folder / "results.jsonl")
        if not self.resume:
            notes.forget({scenario.name for scenario in self.scenarios})
        known = notes.read()
        missing = [drill for drill in self.drills() if self._named(*drill) not in known]
        if missing:
            launch = self.pace.launch()
            with own_stage() as stage:
                for number, (scenario, seed) in enumerate(missing):
                    tell(f"{scenario.name}, seed {seed}", number, len(missing))
                    plan = self._plan(scenario, seed, launch)
                    verdict = carried_out(partial(run, plan, stage))
                    notes.add(verdict, self.events)
                    known[self._named(scenario, seed)] = verdict
        return [
            summary(each.name, [known[self._named(each, seed)] for seed in range(1, self.seeds + 1)], each.fences)
            for each in self.scenarios
        ]

    def kept(self) -> list[Result]:
        """Return what the notes tell by now of each scenario that was run."""
        known = Notes(self.folder / "results.jsonl").read().values()
        found = {each: [verdict for verdict in known if verdict.scenario == each.name] for each in self.scenarios}
        return [summary(each.name, verdicts, each.fences) for each, verdicts in found.items() if verdicts]

    def drills(self) -> Iterator[tuple[Scenario, int]]:
        """Yield every scenario with every seed."""
        return ((scenario, seed) for scenario in self.scenarios for seed in range(1, self.seeds + 1))

    def _named(self, scenario: Scenario, seed: int) -> tuple[str, int, int]:
        return scenario.name, seed, self.events

    def _plan(self, scenario: Scenario, seed: int, launch: Launch) -> Plan:
        records = recorded(seed, self.events)
        return Plan(
            scenario.name,
            seed,
            scenario.recording(records, Random(seed)),
            scenario.fault,
            scenario.forgetful,
            WORKER | {"session_timeout": self.pace.session},
            launch,
            self.pace.seconds,
            self.folder / "logs" / f"{scenario.name}-{seed}",
        )


def carried_out(drill: Callable[[], Verdict]) -> Verdict:
    """Return the verdict of a drill, which is run once more where the first is void."""
    verdict = drill()
    return drill() if verdict.void else verdict


class _Note(msgspec.Struct, frozen=True):
    events: int
    verdict: Verdict


class Notes:
    """Verdicts in a file, a line each, so that a campaign that was broken off goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def forget(self, scenarios: Collection[str]) -> None:
        """Drop what was found of some scenarios."""
        kept = [note for note in self._notes() if note.verdict.scenario not in scenarios]
        if self._path.exists():
            self._path.write_bytes(b"".join(msgspec.json.encode(note) + b"\n" for note in kept))

    def read(self) -> dict[tuple[str, int, int], Verdict]:
        """Return the verdicts by scenario, seed and number of events; a last line that was broken off is cut."""
        return {(note.verdict.scenario, note.verdict.seed, note.events): note.verdict for note in self._notes()}

    def add(self, verdict: Verdict, events: int) -> None:
        """Write a verdict down."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(_Note(events, verdict)) + b"\n")

    def _notes(self) -> list[_Note]:
        written = self._path.read_bytes() if self._path.exists() else b""
        whole = written[: written.rfind(b"\n") + 1]
        if whole != written:
            self._path.write_bytes(whole)
        return [msgspec.json.decode(line, type=_Note) for line in whole.splitlines()]
