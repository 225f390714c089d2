"""Progressive evaluation: the real pipeline over a labelled file, judged by the handbook's protocol."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from processors.evaluation import handbook_metrics
from schemas.records import DAY, AnyRecord
from schemas.results import FraudScore
from schemas.topics import SCORES, TRANSACTIONS
from streams.mappings import Mapping, feedback_on, records, with_feedback
from streams.pipeline import Pipeline
from streams.replay import Replay


class NothingToJudge(ValueError):
    """None of the transactions is of the test days."""


@dataclass(frozen=True)
class Protocol:
    """Which days are judged: from `first_day` (UTC) on, `days` of them, labels known `label_delay_days` later.

    Raises ValueError when it is to judge by weeks, and the days are no whole weeks.
    """

    first_day: datetime
    days: int = 7
    label_delay_days: int = 7
    by_week: bool = False

    def __post_init__(self) -> None:
        if self.by_week and self.days % 7:
            raise ValueError(f"{self.days} days are no whole weeks: judge 7, 14, 21 or 28 of them")


@dataclass
class Judged:
    """The scored test transactions, as columns."""

    days: list[int]
    customers: list[str]
    labels: list[bool]
    scores: list[float]

    def take(self, score: FraudScore, fraud: bool) -> None:
        """Append a score."""
        self.days.append(score.event_time // DAY)
        self.customers.append(score.user)
        self.labels.append(fraud)
        self.scores.append(score.score)


Told = Callable[[int], None]
Keep = Callable[[FraudScore, bool], None]
"""Told of every score, and whether its transaction was fraud."""


def evaluate_fraud(
    pipeline: Pipeline,
    sources: Iterable[AnyRecord],
    frauds: set[str],
    protocol: Protocol,
    told: Told,
    keep: Keep = lambda _score, _fraud: None,
) -> dict[str, Any]:
    """Run the pipeline once over the records and return what the handbook's protocol makes of its scores.

    `frauds` are the ids of fraudulent transactions; they judge, and never reach the pipeline.
    """
    engine = Replay(pipeline)
    judged = Judged([], [], [], [])
    since = int(protocol.first_day.replace(tzinfo=UTC).timestamp() * 1000)
    remember_from = since - 15 * DAY
    started, count, model = perf_counter(), 0, "rules"
    for record in until(sources, since + protocol.days * DAY):
        if record.topic is TRANSACTIONS:
            count += 1
            if count % 5_000 == 0:
                told(count)
        for said in engine.step(record):
            if said.topic is not SCORES:
                continue
            score: FraudScore = said.message
            keep(score, score.event_id in frauds)
            if score.event_time >= remember_from:
                judged.take(score, score.event_id in frauds)
                model = score.model
    if not judged.days or max(judged.days) < since // DAY:
        raise NothingToJudge(f"there are no transactions to score from {protocol.first_day:%Y-%m-%d} on")
    rate = count / (perf_counter() - started)
    return _summary(judged, protocol, since // DAY) | {"events_per_second": round(rate), "model": model}


def until(sources: Iterable[AnyRecord], end: int) -> Iterator[AnyRecord]:
    """Yield the records before `end`; they come in event-time order."""
    for record in sources:
        if record.time >= end:
            return
        yield record


def _summary(judged: Judged, protocol: Protocol, first: int) -> dict[str, Any]:
    columns = (
        np.array(judged.days),
        np.array(judged.customers),
        np.array(judged.labels),
        np.array(judged.scores),
    )

    def over(start: int, days: int) -> dict[str, Any]:
        return handbook_metrics(*columns, first_day=start, days=days, delay_days=protocol.label_delay_days)

    if not protocol.by_week:
        return over(first, protocol.days)
    weeks = [over(first + 7 * week, 7) for week in range(protocol.days // 7)]
    means = {name: float(np.mean([week[name] for week in weeks])) for name in weeks[0] if name not in ("n", "frauds")}
    return {"n": sum(w["n"] for w in weeks), "frauds": sum(w["frauds"] for w in weeks), **means, "weeks": weeks}


def labelled_sources(
    files: Sequence[Path], mapping: Mapping, label_delay_ms: int
) -> tuple[Iterator[AnyRecord], set[str]]:
    """Return the files' records with their late chargebacks, and the ids of the frauds among them.

    The files come in order of time.
    """
    frauds: set[str] = set()
    for path in files:
        frauds |= {
            record.message.about
            for record in records(path, TRANSACTIONS, mapping, label_delay_ms=0)
            if record.topic is not TRANSACTIONS
        }
    transactions = (record for path in files for record in records(path, TRANSACTIONS, mapping))
    # Merged over all files: the labels of one month come during the next.
    labelled = ((each, feedback_on(each, label_delay_ms) if each.id in frauds else None) for each in transactions)
    return with_feedback(labelled), frauds
