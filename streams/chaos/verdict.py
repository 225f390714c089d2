"""What a drill finds, and what many drills of one scenario come to."""

from collections.abc import Sequence
from statistics import median

import msgspec

from streams.chaos.checks import Findings
from streams.chaos.footprint import Footprint


class Verdict(msgspec.Struct, frozen=True):
    """One scenario under one seed, over `events` records.

    `fenced` counts commits refused because another worker owned the task; `endings` the workers that ended by
    themselves and were replaced, by their exit status; `recovery_s` lasts from the end of the fault until every first
    hop has committed again, None for a scenario without fault. `broken` tells each promise that did not hold.
    `footprint` is that of the worker that lived longest, where it is judged. `unpublished` says that the broker did not
    take all of the drill's own stream: whatever the workers did, the drill was not what it should have been.
    """

    scenario: str
    seed: int
    events: int
    lost: int = 0
    doubled: int = 0
    state_mismatch: int = 0
    fenced: int = 0
    endings: dict[str, int] = {}
    recovery_s: float | None = None
    broken: tuple[str, ...] = ()
    footprint: Footprint | None = None
    unpublished: bool = False

    @property
    def void(self) -> bool:
        """Whether it says nothing of the promises: its stream did not get through, and none is seen to be broken."""
        return self.unpublished and not (self.lost or self.doubled or self.state_mismatch)

    @property
    def ok(self) -> bool:
        """Whether every promise held."""
        return not (self.lost or self.doubled or self.state_mismatch or self.broken)


class Result(msgspec.Struct, frozen=True):
    """All seeds of one scenario: sums, but for the recovery in seconds, of which median and maximum; and `ok`.

    `broken` tells each promise that did not hold, with its seed; `footprints` are those of the verdicts.
    """

    scenario: str
    seeds: int
    lost: int
    doubled: int
    state_mismatch: int
    fenced: int
    recovery_s_p50: float | None
    recovery_s_max: float | None
    ok: bool
    broken: tuple[str, ...] = ()
    footprints: tuple[Footprint, ...] = ()


def verdict(scenario: str, seed: int, findings: Findings) -> Verdict:
    """Return findings as a verdict, to which the drill adds what it has measured."""
    return Verdict(
        scenario,
        seed,
        findings.events,
        len(findings.lost),
        len(findings.doubled),
        len(findings.mismatched),
        broken=tuple(findings.told()),
    )


def summary(scenario: str, verdicts: Sequence[Verdict], fences: bool = False) -> Result:
    """Return what the verdicts of a scenario come to. One that `fences` must have fenced somebody, over all seeds.

    Raises ValueError without verdicts.
    """
    if not verdicts:
        raise ValueError(f"{scenario} was never run")
    recoveries = [verdict.recovery_s for verdict in verdicts if verdict.recovery_s is not None]
    fenced = sum(verdict.fenced for verdict in verdicts)
    broken = [f"seed {verdict.seed}: {why}" for verdict in verdicts for why in verdict.broken]
    if fences and not fenced:
        broken.append("nobody was fenced, so the fence was not tried")
    return Result(
        scenario=scenario,
        seeds=len(verdicts),
        lost=sum(verdict.lost for verdict in verdicts),
        doubled=sum(verdict.doubled for verdict in verdicts),
        state_mismatch=sum(verdict.state_mismatch for verdict in verdicts),
        fenced=fenced,
        recovery_s_p50=round(median(recoveries), 2) if recoveries else None,
        recovery_s_max=round(max(recoveries), 2) if recoveries else None,
        ok=all(verdict.ok for verdict in verdicts) and not broken,
        broken=tuple(broken),
        footprints=tuple(verdict.footprint for verdict in verdicts if verdict.footprint is not None),
    )
