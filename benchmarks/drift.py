"""What learning online is worth when fraud changes: simulated worlds, with drift and without, on fresh seeds.

Each world runs once through the real pipeline, with labels a week late. Everything scored from the end of its first
third on is judged three times: by the online learner; by that learner's own copy, whose weights were frozen then; and
by a LightGBM fitted anew every night, on the same vectors, to all that had matured. With drift, that is when large
amounts vanish and new patterns take over; at the end of the second third a pattern returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.batch_baselines import Column, Examples, Period, refitted_nightly
from online_models.base import Model
from online_models.metrics import average_precision, roc_auc
from schemas.records import DAY, AnyRecord
from schemas.results import FraudScore
from schemas.topics import FEEDBACK, MODELS, SCORES
from streams.assembly import fraud_pipeline, fraud_scorer
from streams.replay import Replay
from streams.settings import Settings
from streams.simulator import World, simulate

SEEDS = (7_001, 7_002, 7_003)
SIZE = World(customers=400, terminals=600, days=60, fraud_rate=0.02)
LABEL_DELAY_DAYS = 7

Figures = dict[str, float]
Told = Callable[[str], None]


def drift(seeds: Sequence[int] = SEEDS, size: World = SIZE, told: Told = lambda _: None) -> dict[str, Figures]:
    """Return `auc` and `average_precision` of each learner in each sort of world: means over the seeds, and lowest."""
    found: dict[str, Figures] = {}
    for sort in ("drift", "steady"):
        worlds = [replace(size, seed=seed, drift=sort == "drift") for seed in seeds]
        per_seed = [judged(world, told) for world in worlds]
        found |= {f"{sort}/{learner}": over_seeds([each[learner] for each in per_seed]) for learner in per_seed[0]}
    return found


def over_seeds(figures: Sequence[Figures]) -> Figures:
    """Return the mean of each figure, and its lowest value."""
    means = {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}
    return means | {f"lowest_{name}": min(each[name] for each in figures) for name in figures[0]}


def judged(world: World, told: Told) -> Mapping[str, Figures]:
    """Return the figures of each learner from the end of a world's first third on."""
    start = round(world.start.timestamp() * 1000) // DAY
    first = start + world.days // 3
    told(f"{'drifting' if world.drift else 'steady'} world {world.seed}: online")
    seen = OnePass(world, first * DAY)
    examples = seen.examples()
    after = examples.day >= first
    scores = {"online": seen.online(), "frozen": seen.frozen(after)}
    told(f"{'drifting' if world.drift else 'steady'} world {world.seed}: nightly LightGBM")
    scores["nightly_lightgbm"] = refitted_nightly(examples, Period(first, start + world.days - first, LABEL_DELAY_DAYS))
    return {learner: figures(examples.label[after], column[after]) for learner, column in scores.items()}


def figures(label: Column, score: Column) -> Figures:
    """Return ROC AUC and average precision. Raises ValueError without both classes."""
    auc, precision = roc_auc(label.astype(bool), score), average_precision(label.astype(bool), score)
    if auc is None or precision is None:
        raise ValueError("the world is too small: it has no fraud, or nothing else, after its first third")
    return {"auc": auc, "average_precision": precision}


class OnePass:
    """A world run once through the pipeline, with the model as it was when event time reached `freeze_at`."""

    def __init__(self, world: World, freeze_at: int) -> None:
        self._engine = Replay(fraud_pipeline(Settings()))
        self._freeze_at = freeze_at
        self._model: Model | None = None
        self._frauds: set[str] = set()
        self._scores: list[FraudScore] = []
        for record in simulate(world):
            self._step(record)

    def _step(self, record: AnyRecord) -> None:
        if record.topic is FEEDBACK and record.message.fraud():
            self._frauds.add(record.message.about)
        if self._model is None and record.time >= self._freeze_at:
            self._model = self._newest()
        self._scores += [said.message for said in self._engine.step(record) if said.topic is SCORES]

    def _newest(self) -> Model:
        release = fraud_scorer(Settings()).release(self._engine.tables[MODELS].get(Settings().champion))
        if release is None:
            raise ValueError("the world is too small: no model was published within its first third")
        return release.model

    def examples(self) -> Examples:
        """Return the vectors and the truth about them."""
        return Examples(
            day=np.array([score.event_time // DAY for score in self._scores]),
            customer=np.array([score.user for score in self._scores]),
            label=np.array([score.event_id in self._frauds for score in self._scores], dtype=np.int8),
            features=np.array([score.vector for score in self._scores], dtype=np.float32),
            score=self.online(),
        )

    def online(self) -> Column:
        """Return the scores as they were given."""
        return np.array([score.score for score in self._scores])

    def frozen(self, rows: Column) -> Column:
        """Return what the frozen copy makes of the vectors in `rows`; NaN elsewhere."""
        scores = np.full(len(self._scores), np.nan)
        for row in np.flatnonzero(rows):
            assert self._model is not None
            scores[row] = self._model.score_one(np.array(self._scores[row].vector, dtype=np.float64))
        return scores
