"""`headrace evaluate policy`: what other policies would have earned, from a log with propensities."""

from collections.abc import Callable
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from online_models.policies import WAYS, build
from processors.candidate_policies import fixed, progressive
from processors.policy_evaluation import Bootstrap, Column, evaluate, expected_rewards
from streams.commands.screen import spinning, told_plainly
from streams.files import UnreadableFile
from streams.policy_log import LogMapping, PolicyLog, PolicyLogError, read_policy_log

DEFAULT = ["uniform", "epsilon-greedy", "softmax", "squarecb", "thompson"]
FIXED = "fixed:"

Told = Callable[[str], None]


def evaluate_policy_command(
    files: Annotated[list[Path], typer.Argument(help="Logged rows with propensities, in order of time.", exists=True)],
    policy: Annotated[
        list[str] | None, typer.Option(help=f"A candidate: {', '.join(WAYS)}, or {FIXED}ACTION. Repeatable.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option("--map", help="Which columns are what.", exists=True)] = None,
    clip: Annotated[float, typer.Option(help="Largest importance weight.", min=1.0)] = inf,
    resamples: Annotated[int, typer.Option(help="How often the bootstrap draws.", min=100)] = 1_000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.", min=0.5, max=0.999)] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the draws.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Estimate what candidate policies would have earned per row, from what another policy showed and got.

    Each estimate, IPS, SNIPS, direct method (dm) and doubly robust (dr), has a bootstrap interval; ess is the effective
    sample size. Candidates start from nothing and learn the log as they go, each row judged before it is learned.
    """
    with told_plainly(PolicyLogError, UnreadableFile), spinning("reading") as told:
        log = read_policy_log(files, LogMapping.load(mapping) if mapping else None, lambda n: told(f"{n:,} rows read"))
        result = _evaluated(log, policy or DEFAULT, clip, Bootstrap(resamples, level, seed), told)
    if as_json:
        typer.echo(orjson.dumps(result))
    else:
        Console().print(_table(result))


def _evaluated(log: PolicyLog, names: list[str], clip: float, bootstrap: Bootstrap, told: Told) -> dict[str, Any]:
    expected = expected_rewards(log.log, len(log.arms), log.contexts, seed=bootstrap.seed)
    found = {
        name: asdict(evaluate(log.log, _probability(name, log, bootstrap.seed, told), expected, clip, bootstrap))
        for name in names
    }
    return {
        "n": len(log.log.action),
        "actions": len(log.arms),
        "logged_value": float(log.log.reward.mean()),
        "clip": None if clip == inf else clip,
        "level": bootstrap.level,
        "policies": found,
    }


def _probability(name: str, log: PolicyLog, seed: int, told: Told) -> Column:
    """Return what a candidate would have done in each row; PolicyLogError where the log cannot tell."""
    rows = len(log.log.action)
    if name.startswith(FIXED):
        action = name.removeprefix(FIXED)
        if action not in log.arms:
            raise PolicyLogError(f"the log never showed {action!r}: it has {', '.join(log.arms[:20])}")
        return fixed(log.arms.index(action), len(log.arms), rows)
    contexts = log.contexts if name.startswith("lin") else log.contexts[:, :1]
    try:
        return progressive(
            build(name, contexts.shape[1]),
            log.log,
            log.arms,
            contexts,
            seed=seed,
            told=lambda n: told(f"{name}: {n:,} of {rows:,} rows"),
        )
    except ValueError as error:
        raise PolicyLogError(f"{name}: {error}") from None


def _table(result: dict[str, Any]) -> Table:
    title = f"{result['n']:,} rows, {result['actions']} actions, {result['logged_value']:.5f} earned per row"
    table = Table("policy", "ips", "snips", "dm", "dr", "ess", title=title)
    for name, found in result["policies"].items():
        cells = (found[estimator] for estimator in ("ips", "snips", "dm", "dr"))
        told = (f"{each['value']:.5f} ({each['low']:.5f}–{each['high']:.5f})" for each in cells)
        table.add_row(name, *told, f"{found['ess']:,.0f}")
    return table
