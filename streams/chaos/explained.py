"""I9: what was stored of a score gives the same score again, to the last bit."""

from collections.abc import Sequence

from schemas.results import ModelVersion
from schemas.topics import MODELS, SCORES
from streams.assembly import fraud_scorer
from streams.chaos.evidence import Said
from streams.explanation import explained
from streams.settings import Settings

MOST = 500
"""Scores that are computed again: as many of the newest, which most versions have made."""


def unexplained(said: Sequence[Said], settings: Settings) -> list[str]:
    """Return the scores that come out otherwise when they are computed again."""
    scorer = fraud_scorer(settings)
    versions: dict[tuple[str, int], ModelVersion] = {}
    for each in said:
        if each.topic == MODELS.name:
            version = MODELS.decode(each.value)
            versions[version.model, version.version] = version
    scores = [SCORES.decode(each.value) for each in said if each.topic == SCORES.name]
    newest = sorted(scores, key=lambda score: (score.version, score.event_time))[-MOST:]
    return [
        f"I9: the score of {score.event_id} comes out otherwise"
        for score in newest
        if explained(scorer, score, versions.get((score.model, score.version))).differing
    ][:3]
