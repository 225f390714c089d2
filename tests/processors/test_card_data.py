"""Two weeks of real card payments, of half the customers, through the whole pipeline: one well-formed score each."""

from collections import Counter
from math import isfinite, isinf, log
from pathlib import Path

import pytest

from processors.fraud import Thresholds
from schemas.records import DAY
from schemas.results import FraudScore
from schemas.topics import SCORES, TRANSACTIONS
from streams.assembly import fraud_pipeline, fraud_scorer
from streams.evaluation import until
from streams.mappings import Mapping, records
from streams.replay import Replay
from streams.settings import Settings

pytestmark = pytest.mark.data

MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "card_transactions.yaml"
FIRST_DAY = 1_522_540_800_000
"""2018-04-01 00:00 UTC."""


def is_well_formed(score: FraudScore, features: int) -> bool:
    """Return whether everything a score says is in its range and agrees with the rest of it."""
    judged = (score.score, score.probability, score.anomaly)
    parts = score.intercept + score.other + sum(reason.contribution for reason in score.reasons)
    return (
        all(0.0 <= each <= 1.0 for each in judged)
        and score.risk == round(100 * score.probability)
        and score.decision == Thresholds().decision(score.probability)
        and len(score.vector) == features
        and not any(value is None or isinf(value) for value in score.vector)
        and all(reason.contribution > 0 and reason.text for reason in score.reasons)
        and (score.source == "rules") == (score.version == 0)
        and isfinite(parts)
        and (score.source == "rules" or abs(parts - log(score.score / (1.0 - score.score))) < 1e-6)
    )


def test_every_payment_of_two_weeks_has_one_well_formed_score(data_folder: Path) -> None:
    (file,) = sorted((data_folder / "card_transactions").glob("*.parquet"))[:1]
    engine, features = Replay(fraud_pipeline(Settings())), len(fraud_scorer(Settings()).names)
    sources = records(file, TRANSACTIONS, Mapping.load(MAPPING), label_delay_ms=7 * DAY)
    count, scored, malformed, sorts = 0, set[str](), list[FraudScore](), Counter[str]()
    for record in until(sources, FIRST_DAY + 14 * DAY):
        if record.topic is TRANSACTIONS and int(record.message.user) % 2:
            continue
        count += record.topic is TRANSACTIONS
        for said in engine.step(record):
            if said.topic is SCORES:
                scored.add(said.message.event_id)
                sorts[said.message.source] += 1
                if not is_well_formed(said.message, features):
                    malformed.append(said.message)
    assert malformed == []
    assert count > 50_000
    assert sum(sorts.values()) == len(scored) == count
    assert min(sorts["rules"], sorts["model"]) > 5_000
