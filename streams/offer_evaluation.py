"""Progressive evaluation of offers: the real pipeline over a folder of card offers, judged on one wave of sends."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from online_models.metrics import roc_auc
from processors.offer_terms import Terms, terms_of
from schemas.events import Click, Offer
from schemas.offer_results import Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import DAY, AnyRecord
from streams.card_offers import hour_of
from streams.pipeline import Pipeline
from streams.replay import Replay

JUDGED_KINDS = ("bogo", "discount")
"""The kinds of offer that can be redeemed."""


class UnknownWave(ValueError):
    """There are no sends to judge in the wave asked for."""


@dataclass(frozen=True)
class Wave:
    """Which sends are judged: those at one hour since the start, of offers open for at most so many days."""

    hour: int
    max_duration_days: float

    def judges(self, terms: Terms) -> bool:
        """Return whether an offer is one to choose among."""
        return terms.kind in JUDGED_KINDS and terms.duration <= self.max_duration_days * DAY


@dataclass
class Observed:
    """What happened, apart from what the pipeline knows: sends, rankings of them, views and redemptions."""

    wave: Wave
    terms: dict[str, Terms] = field(default_factory=dict)
    hours: set[int] = field(default_factory=set)
    sends: list[tuple[str, str, str, int]] = field(default_factory=list)
    views: defaultdict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    redemptions: defaultdict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    rankings: dict[str, Ranking] = field(default_factory=dict)
    through: int = 0

    def note(self, record: AnyRecord) -> None:
        """Take in an event of the files."""
        self.through = max(self.through, record.time)
        match record.message:
            case Offer() as offer:
                self.terms[offer.offer] = terms_of(offer)
            case Click(kind="impression") as click:
                self._sent(click)
            case Click(kind="view") as click:
                self.views[click.user, str(click.offer)].append(click.time_ms())
            case Click(kind="redemption") as click:
                self.redemptions[click.user, str(click.offer)].append(click.time_ms())

    def _sent(self, click: Click) -> None:
        hour = hour_of(click.time_ms())
        self.hours.add(hour)
        terms = self.terms.get(str(click.offer))
        if hour == self.wave.hour and terms is not None and self.wave.judges(terms):
            self.sends.append((str(click.decision_id), click.user, str(click.offer), click.time_ms()))

    def label(self, user: str, offer: str, sent: int) -> bool:
        """Return whether some view came at or before some redemption, both from `sent` to the end of the offer."""
        end = sent + self.terms[offer].duration
        views = [at for at in self.views.get((user, offer), ()) if sent <= at <= end]
        redemptions = [at for at in self.redemptions.get((user, offer), ()) if sent <= at <= end]
        return bool(views and redemptions and min(views) <= max(redemptions))


Told = Callable[[int], None]


def evaluate_offers(pipeline: Pipeline, sources: Iterable[AnyRecord], wave: Wave, told: Told) -> dict[str, Any]:
    """Run the pipeline once over the records up to the wave, and judge its rankings of the wave's sends.

    What comes after the wave only tells the labels. Raises UnknownWave when nothing of that hour is to be judged.
    """
    engine, observed = Replay(pipeline), Observed(wave)
    for number, record in enumerate(sources):
        observed.note(record)
        if number % 5_000 == 0:
            told(number)
        if hour_of(record.time) > wave.hour:
            continue
        for said in engine.step(record):
            if said.topic is RANKINGS and hour_of(said.time) == wave.hour:
                observed.rankings[said.message.event_id] = said.message
    if not observed.sends:
        waves = ", ".join(str(hour) for hour in sorted(observed.hours))
        raise UnknownWave(f"no bogo or discount of that duration was sent at hour {wave.hour}; sends are at {waves}")
    return judged(observed)


def judged(observed: Observed) -> dict[str, Any]:
    """Return what the rankings of the wave's sends are worth.

    `policy_value` is the mean label of the sends where the offer sent is the one the ranking puts first among those
    that are judged: sends are uniformly random, so no weights are needed (Li et al. 2011, replay). `uniform_value` is
    the mean over the offers of their mean label, `best_fixed_value` the largest of these. `windows_complete` says
    whether the files go on to the end of every window.
    """
    labels = np.array([observed.label(user, offer, at) for _, user, offer, at in observed.sends])
    rankings = [observed.rankings[decision] for decision, *_ in observed.sends]
    sent = [offer for _, _, offer, _ in observed.sends]
    scores = np.array([ranking.slots[0].score for ranking in rankings])
    agreed = np.array([_first(ranking, observed) == ranking.slots[0].offer for ranking in rankings])
    by_offer = [labels[[each == offer for each in sent]].mean() for offer in sorted(set(sent))]
    ends = max(at + observed.terms[offer].duration for _, _, offer, at in observed.sends)
    return {
        "n": len(sent),
        "base_rate": float(labels.mean()),
        "auc": roc_auc(labels, scores),
        "policy_value": _mean(labels[agreed]),
        "policy_se": _standard_error(labels[agreed]),
        "uniform_value": float(np.mean(by_offer)),
        "best_fixed_value": float(np.max(by_offer)),
        "policy_n": int(agreed.sum()),
        "model_version": max(ranking.version for ranking in rankings),
        "windows_complete": observed.through >= ends,
    }


def _first(ranking: Ranking, observed: Observed) -> str:
    """Return the offer with the highest score among those judged, the first of equals."""
    pairs = zip(ranking.candidates, ranking.scores, strict=True)
    return max((pair for pair in pairs if observed.wave.judges(observed.terms[pair[0]])), key=lambda pair: pair[1])[0]


def _mean(labels: Any) -> float | None:
    return float(labels.mean()) if labels.size else None


def _standard_error(labels: Any) -> float | None:
    return float(labels.std(ddof=1) / np.sqrt(labels.size)) if labels.size > 1 else None
