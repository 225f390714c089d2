"""One drill: a recorded stream, workers that take it, one fault, and what became of the promises."""

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic, sleep
from uuid import uuid4

import msgspec
from confluent_kafka import KafkaException
from redis import exceptions

from schemas.privacy import Tokeniser
from schemas.topics import SCORES
from streams.assembly import fraud_pipeline
from streams.chaos.checks import Findings, Replayed, check
from streams.chaos.crew import Crew, CrewLost, Member
from streams.chaos.evidence import Kept, Marks, Place, Said, States, closing_log, gather, inputs
from streams.chaos.explained import unexplained
from streams.chaos.footprint import Footprint, footprint
from streams.chaos.launching import Launch
from streams.chaos.ledger import Letter, Publishing
from streams.chaos.stage import Stage
from streams.chaos.upgrade import Upgrade, UpgradedReplay, upgraded
from streams.chaos.verdict import Verdict, verdict
from streams.chaos.watch import MEASURE_SECONDS, Watch
from streams.inbound import Edge
from streams.journal import JournalReplay
from streams.kafka_log import KafkaLog
from streams.pipeline import Pipeline
from streams.sealing import Seal
from streams.settings import Settings
from streams.state_codec import state_codec
from streams.watchdog import STALLED

BEGINNING = 0.1
FINISH_SECONDS = 90.0
ASK_SECONDS = 2.0
POLL_SECONDS = 0.1
QUIET_SECONDS = 0.4


class Unreached(RuntimeError):
    """What a drill waits for has not come in time."""


@dataclass
class Drill:
    """What a fault is given: its seed and chance, the services, the workers, the stream on its way, and who watches.

    `broken` is for promises of the fault's own, such as an exit status.
    """

    stage: Stage
    settings: Settings
    seed: int
    chance: Random
    crew: Crew
    publishing: Publishing
    watch: Watch
    kept: Kept
    marks: Marks
    broken: list[str] = field(default_factory=list)
    finished: bool = False
    footprint: Footprint | None = None
    upgraded: Upgrade | None = None

    def until(self, reached: Callable[[], bool], what: str, seconds: float = FINISH_SECONDS) -> None:
        """Return as soon as something is so; workers that end meanwhile are replaced. Raises Unreached."""
        deadline = monotonic() + seconds
        while not reached():
            self.crew.replace_ended()
            if monotonic() > deadline:
                raise Unreached(f"I3: {what}: not within {seconds:g} s")
            sleep(POLL_SECONDS)

    def begin(self, skew_seconds: int = 0, **settings: str) -> Member:
        """Return the first worker once it works; until then only the stream's very beginning is published."""
        allowed, self.publishing.allowed = self.publishing.allowed, BEGINNING
        worker = self.crew.start(skew_seconds, **settings)
        self.until(lambda: self.watch.commits > 0, "no worker has come up")
        self.publishing.allowed = allowed
        return worker

    def under_load(self) -> None:
        """Wait for a moment of chance in the next half of what is being published."""
        share = self.publishing.share + self.chance.uniform(0, 0.5) * (self.publishing.allowed - self.publishing.share)
        self.until(lambda: self.publishing.share >= share, "nothing more is published")

    def moves_on(self) -> None:
        """Note that the fault is over, and wait for the next commit."""
        self.watch.fault_is_over()
        before = self.watch.commits
        self.until(lambda: self.watch.commits > before, "no commit has followed the fault")

    def dismiss(self, member: Member) -> None:
        """Ask a worker to end, which must be with 0."""
        self.broken += self.crew.dismiss(member)

    def upgrade(self) -> None:
        """Let all workers from now on be of the next release. None of the last may be running."""
        self.upgraded = upgraded(self.settings, self.kept.sequences(tasks_of(fraud_pipeline(self.settings))))
        self.crew.environment = dict(self.crew.environment) | self.upgraded.variables

    def judge_footprint(self) -> None:
        """Tell what the worker that lived longest has taken of the machine, and whether that did not stop growing."""
        uses = max((member.uses for member in self.crew.members), key=len)
        self.footprint = footprint(uses, len(uses) * MEASURE_SECONDS)
        if self.footprint is not None and not self.footprint.flat:
            self.broken.append(f"a worker keeps growing: {self.footprint}")

    def finish(self, seconds: float = FINISH_SECONDS) -> None:
        """Let the workers take all there is, and end them. Done once, by the fault itself where it must be."""
        if self.finished:
            return
        self.finished = True
        self.publishing.rush(1.0)
        self.until(lambda: self.publishing.done, "not all was published")
        self.until(lambda: _caught_up(self.kept, self.marks), "lag did not end", seconds)
        for member in self.crew.running:
            # One that was just started, and has not begun yet, dies of the signal.
            self.broken += self.crew.dismiss(member, (0, -signal.SIGTERM))


@dataclass(frozen=True)
class Plan:
    """What a drill is made of; see Scenario.

    `worker` are the settings of all workers, as an operator spells them, and `launch` starts them. Where nothing holds
    the stream up it is published within so many `seconds`.
    """

    scenario: str
    seed: int
    letters: Sequence[Letter]
    fault: Callable[[Drill], None]
    forgetful: bool
    worker: Mapping[str, str]
    launch: Launch
    seconds: float
    logs: Path


def run(plan: Plan, stage: Stage) -> Verdict:
    """Run one drill and return its verdict. Logs of workers stay where something did not hold, or one has stalled."""
    with stage.cleared():
        found = _run(plan, stage)
    if found.ok and str(STALLED) not in found.endings:
        shutil.rmtree(plan.logs, ignore_errors=True)
    return found


def _run(plan: Plan, stage: Stage) -> Verdict:
    with _staged(plan, stage) as drill:
        try:
            plan.fault(drill)
            drill.finish()
        except (Unreached, CrewLost) as unreached:
            drill.broken.append(str(unreached))
        findings = _findings(drill)
        return msgspec.structs.replace(
            verdict(plan.scenario, plan.seed, findings),
            fenced=sum(drill.crew.fenced.values()),
            endings={str(status): count for status, count in drill.crew.endings.items()},
            recovery_s=drill.watch.recovery(),
            footprint=drill.footprint,
            unpublished=bool(drill.publishing.refused),
        )


@contextmanager
def _staged(plan: Plan, stage: Stage) -> Iterator[Drill]:
    """Begin to publish, to watch, and to look after workers, of whom there are none yet."""
    own = dict(plan.worker) | {"kafka": stage.kafka, "redis": stage.redis, "group": f"chaos-{uuid4()}"}
    settings = Settings(**own)  # type: ignore[arg-type]  # as an operator spells them
    pipeline = fraud_pipeline(settings)
    variables = {f"HEADRACE_{name.upper()}": value for name, value in own.items()}
    with ExitStack() as stack:
        kept, watched = stack.enter_context(Kept(stage.redis)), stack.enter_context(Kept(stage.redis))
        marks, seen = (stack.enter_context(Marks(stage.kafka, settings.group, inputs(pipeline))) for _ in range(2))
        crew = stack.enter_context(Crew(variables, plan.logs, plan.launch))
        watch = stack.enter_context(Watch(watched, seen, crew, tasks_of(pipeline), plan.forgetful))
        rate = len(plan.letters) / plan.seconds
        publishing = stack.enter_context(Publishing(stage.kafka, plan.letters, rate))
        yield Drill(stage, settings, plan.seed, Random(plan.seed), crew, publishing, watch, kept, marks)


def tasks_of(pipeline: Pipeline) -> list[str]:
    """Return the names of all tasks of a pipeline."""
    return [f"{p.name}/{n}" for p in pipeline.processors for n in range(p.inputs[0].partitions)]


def _caught_up(kept: Kept, marks: Marks) -> bool:
    """Return whether every task has taken all there is, and nothing new comes of it."""
    try:
        ends = marks.ends(ASK_SECONDS)
        taken: dict[Place, int] = {}
        for offsets in kept.checkpoints().values():
            for place, offset in offsets.items():
                taken[place] = min(offset, taken.get(place, offset))
        if any(taken.get(place, 0) != end for place, end in ends.items()):
            return False
        sleep(QUIET_SECONDS)
        return ends == marks.ends(ASK_SECONDS)
    except (KafkaException, exceptions.RedisError):
        return False


def _findings(drill: Drill) -> Findings:
    pipeline = fraud_pipeline(drill.settings)
    with closing_log(drill.stage.kafka) as log:
        evidence = gather(pipeline, log, drill.publishing.writes, drill.kept, drill.marks.committed())
        found = check(pipeline, evidence, replayed(pipeline, log, drill))
    found.broken += _unexplained(drill, evidence.said)
    found.broken += [*drill.watch.backwards[:3], *drill.publishing.refused[:1], *drill.broken]
    return found


def _unexplained(drill: Drill, said: Sequence[Said]) -> list[str]:
    if (upgrade := drill.upgraded) is None:
        return unexplained(said, drill.settings)
    before = [each for each in said if each.topic != SCORES.name or upgrade.is_before(each)]
    later = [each for each in said if each.topic != SCORES.name or not upgrade.is_before(each)]
    return [*unexplained(before, drill.settings), *unexplained(later, upgrade.settings)]


def replayed(pipeline: Pipeline, log: KafkaLog, drill: Drill) -> Replayed:
    """Return what the in-process engine makes of the journal, from nothing."""
    settings = drill.settings
    edge = Edge(Tokeniser({"1": settings.key("tokens")}), Seal(settings.key("dead-letters")))
    straight = JournalReplay(pipeline, log, edge)
    replay = straight if drill.upgraded is None else UpgradedReplay(pipeline, drill.upgraded, log, edge)
    said = {each.id: each.topic.encode(each.message) for each in replay.records()}
    states: States = {
        name: {key: state_codec(task.processor).encode(state) for key, state in task.states.items()}
        for name, task in replay.tasks.items()
    }
    return Replayed(said, states)
