"""Operators see the newest version of each model, how far it has learned, and every figure that it tells."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from schemas.offer_topics import RANKERS
from schemas.records import AnyTopic
from schemas.topics import MODELS
from streams.model_metrics import model_metrics
from tests.contracts.results import NOON, model_version, ranker_version


def exposed(tables: Mapping[AnyTopic, Mapping[str, Any]]) -> set[str]:
    class Tables(Collector):
        def collect(self) -> Any:
            return model_metrics(tables)

    registry = CollectorRegistry()
    registry.register(Tables())
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


def test_models_and_rankers_tell_version_progress_and_figures() -> None:
    drifted = model_version(7, metrics={"roc_auc": 0.875, "label_drifts": 2.0})
    tables = {MODELS: {"fraud": drifted}, RANKERS: {"offers": ranker_version(metrics={})}}
    assert exposed(tables) == {
        'headrace_model_version{model="fraud"} 7.0',
        'headrace_model_version{model="offers"} 4.0',
        f'headrace_model_learned_seconds{{model="fraud"}} {NOON / 1e12}e+09',
        f'headrace_model_learned_seconds{{model="offers"}} {NOON / 1e12}e+09',
        'headrace_model_figure{figure="roc_auc",model="fraud"} 0.875',
        'headrace_model_figure{figure="label_drifts",model="fraud"} 2.0',
    }


def test_a_worker_without_these_tables_tells_nothing_of_models() -> None:
    assert exposed({}) == set()
