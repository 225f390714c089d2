"""A payment is scored at its terminal: by the newest model that can be trusted, else by the rules, and it says why."""

from math import log, nan
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.release import Release, new
from online_models.snapshots import sign
from processors.customers import CustomerFeatures
from processors.fraud import FraudScorer, Thresholds
from processors.model_roles import challenger_of
from processors.rules import BASE
from schemas.offer_results import CustomerRisk
from schemas.records import DAY, AnyTopic
from schemas.results import Alert, CardFeatures, FraudScore, ModelAlias, ModelVersion
from schemas.topics import CARD_FEATURES, MODEL_ALIASES, MODELS, SCORES
from streams.task import Task
from tests.builders import HOUR, NOON, base64, card_features, heard, label, model_version, verified

CUSTOMER = CustomerFeatures().names
WARM_UP = 2_000


def scorer(**settings: Any) -> FraudScorer:
    return FraudScorer(CUSTOMER, verified, **settings)


NAMES, FEATURES = scorer().names, scorer().features_id


def vectors(count: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    found = random.exponential(1.0, (count, len(NAMES)))
    found[random.random(found.shape) < 0.05] = nan
    return found


def trained(kind: str, count: int) -> Release:
    """Return a release to which a large first feature is fraud."""
    release = new(kind, NAMES)
    for x in vectors(count):
        fraud = bool(np.nan_to_num(x[0]) > 2.5)
        release.calibrator.learn_one(release.model.score_one(x), fraud)
        release.model.learn_one(x, fraud)
        release.anomaly.learn_one(x)
    return release


@pytest.fixture(scope="module")
def release() -> Release:
    return trained("additive", WARM_UP + 500)


@pytest.fixture(scope="module")
def river() -> Release:
    return trained("logistic", 50)


@pytest.fixture(scope="module")
def version(release: Release) -> ModelVersion:
    return model_version(release, "additive", FEATURES)


def tables(*said: ModelVersion | ModelAlias) -> dict[AnyTopic, dict[str, Any]]:
    """Return the tables of a scorer that has heard of these."""
    found: dict[AnyTopic, dict[str, Any]] = {MODELS: {}, MODEL_ALIASES: {}}
    for each in said:
        topic = MODELS if isinstance(each, ModelVersion) else MODEL_ALIASES
        found[topic][topic.key(each)] = each
    return found


def score(*known: ModelVersion | ModelAlias, by: FraudScorer | None = None, **changed: Any) -> FraudScore:
    """Return the score of one payment at a new terminal under these versions and aliases."""
    payment = card_features(**{"customer": tuple(vectors(1, seed=7)[0][: len(CUSTOMER)])} | changed)
    return heard(Task(by or scorer(), {}, tables(*known)), payment)[0]


def forged(version: ModelVersion, **changed: Any) -> ModelVersion:
    return msgspec.structs.replace(version, **changed)


def same(one: FraudScore, other: FraudScore) -> bool:
    """Return whether two scores are equal to the last bit, with a missing value equal to a missing value."""
    return SCORES.encode(one) == SCORES.encode(other)


def test_without_a_model_the_rules_score_and_the_score_says_so() -> None:
    said = score()
    assert (said.source, said.version, said.digest, said.model) == ("rules", 0, "", "fraud")
    assert said.probability == said.score
    assert "model" not in said.ages


def test_a_published_model_scores(release: Release, version: ModelVersion) -> None:
    said = score(version)
    assert (said.source, said.version, said.digest, said.features) == ("model", 1, version.digest, FEATURES)
    x = np.array(said.vector)
    assert said.score == release.model.score_one(x)
    assert said.probability == release.calibrator.calibrate(said.score)
    assert said.anomaly == release.anomaly.score_one(x)
    assert said.risk == round(100 * said.probability)


UNUSABLE = {
    "signed with another key": lambda v: {"blob": base64(sign(b"a model", b"another key")), "digest": "other"},
    "changed": lambda v: {"blob": v.blob[:-8] + "AAAAAAAA", "digest": "other"},
    "cut": lambda v: {"blob": v.blob[:-3], "digest": "other"},
    "empty": lambda v: {"blob": "", "digest": "other"},
    "not base64": lambda v: {"blob": "ü" + v.blob, "digest": "other"},
    "of other features": lambda v: {"features": "others", "digest": "other"},
    "of another kind than it says": lambda v: {"kind": "logistic", "digest": "other"},
    "of a kind nobody knows": lambda v: {"kind": "oracle", "digest": "other"},
    "signed, but no model": lambda v: {"blob": base64(sign(b"a model", b"a key for tests")), "digest": "other"},
}


@pytest.mark.parametrize("damage", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_version_that_cannot_be_used_never_scores(version: ModelVersion, damage: Any) -> None:
    assert same(score(forged(version, **damage(version))), score())


def test_a_good_version_after_a_forged_one_scores(version: ModelVersion) -> None:
    by = scorer()
    assert score(forged(version, blob="", digest="other"), by=by).source == "rules"
    assert score(version, by=by).source == "model"


def test_a_newer_version_takes_over(version: ModelVersion) -> None:
    by = scorer()
    later = model_version(trained("additive", WARM_UP), "additive", FEATURES, version=2)
    first, second = score(version, by=by), score(later, by=by)
    assert (first.version, second.version) == (1, 2)
    assert first.score != second.score


@pytest.mark.parametrize("kind", ["additive", "logistic", "forest"])
@pytest.mark.parametrize("seed", range(3))
def test_the_stored_vector_and_version_give_the_stored_score_again(version: ModelVersion, kind: str, seed: int) -> None:
    if kind != "additive":
        version = model_version(trained(kind, 50), kind, FEATURES)
    customer = tuple(vectors(1, seed)[0][: len(CUSTOMER)])
    stored = SCORES.decode(SCORES.encode(score(version, customer=customer)))
    vector = np.array(stored.vector, dtype=np.float64)
    again = scorer().score(card_features(customer=customer), vector, -1, "fraud", {"fraud": version})
    assert same(again, stored)


@pytest.mark.parametrize("kind", ["additive", "logistic"])
@given(seed=st.integers(0, 10**6))
def test_reasons_the_other_features_and_the_intercept_add_up_to_the_log_odds(
    release: Release, river: Release, kind: str, seed: int
) -> None:
    version = model_version(release if kind == "additive" else river, kind, FEATURES)
    said = score(version, customer=tuple(vectors(1, seed)[0][: len(CUSTOMER)]))
    total = said.intercept + sum(reason.contribution for reason in said.reasons) + said.other
    assert total == pytest.approx(log(said.score / (1 - said.score)), abs=1e-9)
    contributions = [reason.contribution for reason in said.reasons]
    assert contributions == sorted(contributions, reverse=True)
    assert all(contribution > 0 for contribution in contributions)
    assert len(contributions) <= 3


def test_a_reason_says_its_feature_in_words(version: ModelVersion) -> None:
    customer = (9.0, *vectors(1, seed=7)[0][1 : len(CUSTOMER)])
    said = score(version, customer=customer)
    assert (said.reasons[0].feature, said.reasons[0].text) == ("amount", "amount 9.00")


@pytest.mark.parametrize(
    ("probability", "decision"),
    [(0.0, "approve"), (0.0499, "approve"), (0.05, "challenge"), (0.2, "review"), (0.6, "decline"), (1.0, "decline")],
)
def test_a_decision_is_taken_from_its_threshold_on(probability: float, decision: str) -> None:
    assert Thresholds().decision(probability) == decision


@pytest.mark.parametrize(
    ("thresholds", "decision", "alerts"),
    [
        (Thresholds(0.5, 0.6, 0.7), "approve", 0),
        (Thresholds(0.0, 0.6, 0.7), "challenge", 0),
        (Thresholds(0.0, 0.0, 0.7), "review", 1),
        (Thresholds(0.0, 0.0, 0.0), "decline", 1),
    ],
)
def test_what_is_reviewed_or_declined_is_alerted(thresholds: Thresholds, decision: str, alerts: int) -> None:
    payment = card_features(customer=(0.0,) * len(CUSTOMER))
    said, *alerted = heard(Task(scorer(thresholds=thresholds), {}, tables()), payment)
    assert said.decision == decision
    assert [type(each) for each in alerted] == [Alert] * alerts + [CustomerRisk] * (decision != "approve")
    for alert in alerted[:alerts]:
        assert isinstance(alert, Alert)
        assert (alert.event_id, alert.risk, alert.reasons) == (said.event_id, said.risk, said.reasons)
        assert (alert.decision, alert.status, alert.user, alert.terminal) == (decision, "open", "ann", "t1")


@pytest.mark.parametrize("sample", [0.1, 0.5, 0.9])
def test_sampling_keeps_the_weight_of_the_whole(sample: float) -> None:
    by = scorer(sample=sample)
    weights = [score(by=by, event_id=f"e{n}").weight for n in range(2_000)]
    assert set(weights) == {0.0, 1 / sample}
    assert sum(weights) / len(weights) == pytest.approx(1.0, rel=0.2)


def test_sampling_is_decided_by_the_event_alone() -> None:
    chosen = [[score(by=scorer(sample=0.5), event_id=f"e{n}").weight for n in range(20)] for _ in range(2)]
    assert chosen[0] == chosen[1]


def test_every_outcome_is_learned_from_by_default() -> None:
    assert {score(event_id=f"e{n}").weight for n in range(50)} == {1.0}


def test_models_in_the_shadow_score_beside_the_champion_and_decide_nothing(
    version: ModelVersion, river: Release
) -> None:
    shadow = msgspec.structs.replace(model_version(river, "logistic", FEATURES), model="river")
    by = scorer(shadows=("river", "unborn"))
    said, alone = score(version, shadow, by=by), score(version)
    assert said.shadow["river"] == river.model.score_one(np.array(said.vector))
    assert (said.score, said.reasons, said.decision) == (alone.score, alone.reasons, alone.decision)


def test_a_shadow_without_a_model_takes_part_so_that_it_can_begin_to_learn(version: ModelVersion) -> None:
    assert score(version, by=scorer(shadows=("unborn",))).shadow_versions == {"unborn": 0}


def named(alias: Literal["champion", "challenger"], model: str, share: float = 1.0) -> ModelAlias:
    return ModelAlias(event_id=f"{alias}-{model}-{share}", event_time=NOON, alias=alias, model=model, share=share)


@pytest.fixture(scope="module")
def other(river: Release) -> ModelVersion:
    return msgspec.structs.replace(model_version(river, "logistic", FEATURES), model="river")


def two() -> FraudScorer:
    return scorer(shadows=("river",))


def test_another_champion_decides_and_the_one_before_scores_in_its_shadow(
    version: ModelVersion, other: ModelVersion
) -> None:
    before, after = score(version, other, by=two()), score(version, other, named("champion", "river"), by=two())
    assert (after.model, after.version, after.score) == ("river", 1, before.shadow["river"])
    assert (after.shadow, after.shadow_versions) == ({"fraud": before.score}, {"fraud": 1})


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_challenger_decides_for_its_share_of_the_customers(
    version: ModelVersion, other: ModelVersion, share: float
) -> None:
    by, alias = two(), named("challenger", "river", share)
    decided = [score(version, other, alias, by=by, user=f"u{n}").model for n in range(400)]
    assert decided.count("river") / 400 == pytest.approx(share, abs=0.05)
    assert decided == [score(version, other, alias, by=by, user=f"u{n}").model for n in range(400)]


def test_a_larger_share_keeps_the_customers_of_a_smaller_one() -> None:
    small, large = (
        {n for n in range(500) if challenger_of({"challenger": named("challenger", "river", s)}, ["river"], f"u{n}")}
        for s in (0.1, 0.3)
    )
    assert small < large


def test_a_challenger_without_a_usable_version_decides_nothing(version: ModelVersion, other: ModelVersion) -> None:
    broken = forged(other, blob="", digest="other")
    for known in ((version,), (version, broken)):
        assert score(*known, named("challenger", "river"), by=two()).model == "fraud"


def test_an_alias_of_a_model_that_nobody_runs_changes_nothing(version: ModelVersion, other: ModelVersion) -> None:
    for alias in (named("champion", "nobody"), named("challenger", "nobody")):
        assert same(score(version, other, alias, by=two()), score(version, other, by=two()))


def test_a_score_says_how_old_its_features_and_its_model_are(version: ModelVersion) -> None:
    task = Task(scorer(), {}, tables(version))
    payment = card_features("a", customer=(0.0,) * len(CUSTOMER), customer_age=5)
    first, *_ = heard(task, payment)
    second, *_ = heard(task, msgspec.structs.replace(payment, event_id="b", event_time=NOON + HOUR))
    assert first.ages == {"customer": 5, "terminal": -1, "model": 0}
    assert second.ages == {"customer": 5, "terminal": HOUR, "model": HOUR}


def test_a_score_says_where_its_payment_was_read() -> None:
    said = score(input_topic="payments", input_partition=2, input_offset=77, card="tok", country="DE", tenant="acme")
    assert (said.input_topic, said.input_partition, said.input_offset) == ("payments", 2, 77)
    assert (said.card, said.country, said.tenant) == ("tok", "DE", "acme")


def test_missing_customer_features_may_come_as_null(version: ModelVersion) -> None:
    payment = card_features(customer=(nan,) * len(CUSTOMER))
    assert CARD_FEATURES.decode(CARD_FEATURES.encode(payment)).customer == (None,) * len(CUSTOMER)
    assert same(score(version, customer=(nan,) * len(CUSTOMER)), score(version, customer=(None,) * len(CUSTOMER)))


def test_a_terminals_labels_raise_the_rules_score() -> None:
    task = Task(scorer(), {}, tables())
    zeros = (0.0,) * len(CUSTOMER)
    payments: list[CardFeatures] = [card_features(f"e{n}", NOON + n * HOUR, customer=zeros) for n in range(4)]
    for payment in payments:
        heard(task, payment, label(payment.event_id, payment.event_time))
    before, *_ = heard(task, card_features("x", NOON + DAY, customer=zeros))
    after, alert, risk = heard(task, card_features("y", NOON + 7 * DAY + 5 * HOUR, customer=zeros))
    assert before.score == pytest.approx(BASE)
    assert after.score > 0.8
    assert "the last 4 matured payments at this terminal were all fraud" in [reason.text for reason in after.reasons]
    assert isinstance(alert, Alert)
    assert (risk.event_id, risk.user, risk.probability, risk.alert) == ("y", "ann", after.probability, True)


def test_a_label_of_an_unknown_terminal_leaves_nothing() -> None:
    task = Task(scorer(), {}, tables())
    assert heard(task, label()) == []
    assert task.states == {}


def test_another_set_of_features_has_another_name() -> None:
    assert FraudScorer(CUSTOMER[:-1], verified).features_id != FEATURES
