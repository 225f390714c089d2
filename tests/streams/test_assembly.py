"""The pipeline is put together from settings."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from processors.offer_slots import POLICIES
from schemas.topics import CLICKS, PROFILES, SCORES
from streams.assembly import fraud_pipeline, fraud_scorer, offer_pipeline, pipeline, recommendation_pipeline
from streams.definitions_file import DefinitionsError
from streams.pipeline import Pipeline
from streams.replay import replay
from streams.settings import PIPELINES, Policy, Settings
from tests.builders import records, transaction

MORE = "- {name: payments_of_an_hour, entity: user, aggregate: count, window: 1h}\n"


def declared(folder: Path, yaml: str) -> Settings:
    path = folder / "features.yaml"
    path.write_text(yaml)
    return Settings(features=path, throw_away=True)


def names(found: Pipeline) -> list[str]:
    return [processor.name for processor in found.processors]


def test_a_worker_runs_every_pipeline_unless_told_otherwise() -> None:
    settings = Settings()
    parts = fraud_pipeline(settings), offer_pipeline(settings), recommendation_pipeline(settings)
    assert names(pipeline(settings)) == [name for part in parts for name in names(part)]
    assert pipeline(settings).unhurried == frozenset.union(*(part.unhurried for part in parts))


def test_pipelines_are_chosen_by_name_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PIPELINES", "offers")
    assert names(pipeline(Settings())) == names(offer_pipeline(Settings()))
    monkeypatch.setenv("HEADRACE_PIPELINES", "recommendations, offers, fraud")
    assert Settings().pipelines == PIPELINES


@pytest.mark.parametrize("told", ["", "coupons", "fraud,coupons"])
def test_a_pipeline_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("HEADRACE_PIPELINES", told)
    with pytest.raises(ValidationError, match="'fraud', 'offers' or 'recommendations'"):
        Settings()


def test_every_policy_can_be_set() -> None:
    assert set(get_args(Policy)) == set(POLICIES)
    for policy in POLICIES:
        assert names(offer_pipeline(Settings(policy=policy)))


def test_workers_of_fewer_pipelines_are_a_group_of_their_own() -> None:
    settings = Settings(group="shop")
    assert settings.group_of(PIPELINES) == "shop"
    assert settings.group_of(("fraud",)) == "shop-fraud"


def test_profiles_are_read_for_recommendations_only_where_a_consent_is_looked_for() -> None:
    inputs = {
        consent: recommendation_pipeline(Settings(recommend_consent=consent)).processors[0].inputs
        for consent in (None, "personal")
    }
    assert inputs == {None: (CLICKS,), "personal": (CLICKS, PROFILES)}


def test_recommendations_of_no_part_are_refused() -> None:
    with pytest.raises(ValueError, match="weights are at least 0 and not all 0"):
        recommendation_pipeline(Settings(recommend_collaborative=0, recommend_content=0, recommend_trending=0))


def test_declared_features_are_part_of_the_vector_that_is_scored(tmp_path: Path) -> None:
    settings = declared(tmp_path, MORE)
    names = fraud_scorer(settings).names
    payments = records([transaction("a"), transaction("b")])
    scores = [said.message for said in replay(fraud_pipeline(settings), payments) if said.topic is SCORES]
    assert [score.vector[names.index("payments_of_an_hour")] for score in scores] == [1.0, 2.0]


def test_other_features_make_another_set_so_no_model_scores_what_it_never_learned(tmp_path: Path) -> None:
    assert fraud_scorer(declared(tmp_path, MORE)).features_id != fraud_scorer(Settings()).features_id


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("- {name: amount, entity: user, aggregate: value, of: amount}", "amount is built in"),
        ("- {name: busy, entity: terminal, aggregate: count, window: 1h}", "busy is not of entity `user`"),
    ],
)
def test_a_feature_that_cannot_be_used_is_named(tmp_path: Path, yaml: str, complaint: str) -> None:
    with pytest.raises(DefinitionsError, match=complaint):
        fraud_pipeline(declared(tmp_path, yaml))
