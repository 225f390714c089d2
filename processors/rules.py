"""The rule fallback: what is said of a payment while no model is usable."""

from collections.abc import Callable
from typing import NamedTuple

from processors.reasons import Facts, in_words
from schemas.results import Reason

BASE = 0.01


class Rule(NamedTuple):
    """A feature, when it is suspicious (never when it is missing, NaN), and the probability of fraud it stands for."""

    feature: str
    suspicious: Callable[[float], bool]
    probability: float


RULES = (
    Rule("amount_z", lambda z: z > 4.0, 0.30),
    Rule("amount_log_ratio_max", lambda ratio: ratio > 1.1, 0.25),
    Rule("terminal_risk_7d", lambda rate: rate > 0.5, 0.50),
    Rule("terminal_risk_30d", lambda rate: rate > 0.2, 0.30),
    Rule("terminal_fraud_run", lambda run: run >= 2, 0.60),
    Rule("speed_kmh", lambda speed: speed > 1000.0, 0.40),
    Rule("customer_count_1d", lambda count: count > 20, 0.25),
    Rule("known_surprising_frauds_decayed", lambda weight: weight > 0.5, 0.25),
)


def rule_score(facts: Facts) -> tuple[float, tuple[Reason, ...]]:
    """Return a probability of fraud in [0, 1] and the rules that hit, the strongest first.

    Rules are taken as independent evidence: 1 − ∏(1 − p) over those that hit.
    """
    hits = [rule for rule in RULES if rule.feature in facts and rule.suspicious(facts[rule.feature])]
    genuine = 1.0 - BASE
    for rule in hits:
        genuine *= 1.0 - rule.probability
    hits.sort(key=lambda rule: -rule.probability)
    reasons = tuple(Reason(r.feature, r.probability, in_words(r.feature, facts[r.feature], facts)) for r in hits[:3])
    return 1.0 - genuine, reasons
