"""The pipeline is put together from settings."""

from pathlib import Path

import pytest

from schemas.topics import SCORES
from streams.assembly import fraud_pipeline, fraud_scorer
from streams.definitions_file import DefinitionsError
from streams.replay import replay
from streams.settings import Settings
from tests.builders import records, transaction

MORE = "- {name: payments_of_an_hour, entity: user, aggregate: count, window: 1h}\n"


def declared(folder: Path, yaml: str) -> Settings:
    path = folder / "features.yaml"
    path.write_text(yaml)
    return Settings(features=path, throw_away=True)


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
