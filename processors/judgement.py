"""What a model, or the rules, make of a payment's features: a score, a probability, and the reasons in words."""

from typing import Any, NamedTuple

import numpy as np

from online_models.base import Explanation, Vector
from online_models.explanation import log_odds
from online_models.release import Release
from processors.reasons import Facts, in_words
from processors.rules import rule_score
from schemas.results import Reason

REASONS = 3


class Judgement(NamedTuple):
    """What a model, or the rules, made of a vector."""

    score: float
    probability: float
    reasons: tuple[Reason, ...]
    other: float
    intercept: float
    anomaly: float


def judge(release: Release, x: Vector, vector: tuple[float, ...], names: tuple[str, ...]) -> Judgement:
    """Return what a release makes of a vector, with the largest contributions in words.

    A model whose score is no sum gives no reasons; all of its log-odds are `other`.
    """
    model: Any = release.model
    if not hasattr(model, "explain_one"):
        score = model.score_one(x)
        return _judgement(release, x, Explanation(score, log_odds(score), 0.0, np.zeros(0), []), ())
    explanation = model.explain_one(x, REASONS)
    facts, added = Facts(names, vector), explanation.contributions.item
    reasons = [Reason(names[at], added(at), in_words(names[at], vector[at], facts)) for at in explanation.largest]
    return _judgement(release, x, explanation, tuple(reasons))


def _judgement(release: Release, x: Vector, explanation: Explanation, reasons: tuple[Reason, ...]) -> Judgement:
    score, _, intercept, _, _ = explanation
    other = explanation.logit - intercept - sum([reason.contribution for reason in reasons])
    anomaly = release.anomaly.score_one(x)
    return Judgement(score, release.calibrator.calibrate(score), reasons, other, intercept, anomaly)


def rule_judgement(vector: tuple[float, ...], names: tuple[str, ...]) -> Judgement:
    """Return what the rules make of a vector: the answer while no model is usable."""
    score, reasons = rule_score(Facts(names, vector))
    return Judgement(score, score, reasons, 0.0, 0.0, 0.0)
