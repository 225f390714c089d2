"""What the rules say of a payment while no model is usable."""

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.customers import CustomerFeatures
from processors.reasons import Facts
from processors.rules import BASE, RULES, Rule, rule_score
from processors.terminals import TerminalHistory

NAMES = CustomerFeatures().names + TerminalHistory().names
SUSPICIOUS = {
    "amount_z": 5.0,
    "amount_log_ratio_max": 2.0,
    "terminal_risk_7d": 0.9,
    "terminal_risk_30d": 0.9,
    "terminal_fraud_run": 3.0,
    "speed_kmh": 5000.0,
    "customer_count_1d": 30.0,
    "known_surprising_frauds_decayed": 1.0,
}


def facts(**known: float) -> Facts:
    return Facts(NAMES, [known.get(name, 0.0) for name in NAMES])


def test_a_payment_that_no_rule_hits_has_the_base_rate() -> None:
    assert rule_score(facts()) == (pytest.approx(BASE), ())


def test_what_is_unknown_is_not_suspicious() -> None:
    assert rule_score(Facts(NAMES, [nan] * len(NAMES))) == (pytest.approx(BASE), ())


def test_rules_that_ask_for_features_nobody_declared_do_not_hit() -> None:
    assert rule_score(Facts(("speed_kmh",), (5_000.0,)))[0] == pytest.approx(1 - 0.99 * 0.6)


@pytest.mark.parametrize("rule", RULES, ids=[rule.feature for rule in RULES])
def test_each_rule_hits_alone_with_its_probability_and_its_reason(rule: Rule) -> None:
    feature = rule.feature
    score, (reason,) = rule_score(facts(**{feature: SUSPICIOUS[feature]}))
    assert score == pytest.approx(1 - (1 - BASE) * (1 - rule.probability))
    assert reason.feature == feature
    assert reason.text


@given(st.sets(st.sampled_from(sorted(SUSPICIOUS))), st.sampled_from(sorted(SUSPICIOUS)))
def test_more_evidence_never_lowers_the_score(hits: set[str], one_more: str) -> None:
    few, _ = rule_score(facts(**{name: SUSPICIOUS[name] for name in hits}))
    more, reasons = rule_score(facts(**{name: SUSPICIOUS[name] for name in hits | {one_more}}))
    assert 0 <= few <= more < 1
    contributions = [reason.contribution for reason in reasons]
    assert contributions == sorted(contributions, reverse=True)
    assert 1 <= len(reasons) <= 3
