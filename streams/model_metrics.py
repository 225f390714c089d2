"""What the newest version of each model tells of itself, for operators to watch and be alarmed by."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from schemas.offer_topics import RANKERS
from schemas.records import AnyTopic
from schemas.topics import MODELS

MODEL = ["model"]


def model_metrics(tables: Mapping[AnyTopic, Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield gauges of the newest published versions in a worker's tables; nothing of tables that it has not.

    The figures are those of the version's `metrics`, under their names: `roc_auc`, `label_drifts` and so on.
    """
    newest = [version for topic in (MODELS, RANKERS) for version in list(tables.get(topic, {}).values())]
    number = GaugeMetricFamily("headrace_model_version", "The newest published version.", labels=MODEL)
    learned = GaugeMetricFamily("headrace_model_learned_seconds", "The newest outcome learned.", labels=MODEL)
    figures = GaugeMetricFamily("headrace_model_figure", "A figure of the newest version.", labels=[*MODEL, "figure"])
    for version in newest:
        number.add_metric([version.model], version.version)
        learned.add_metric([version.model], version.learned_through / 1000)
        for name, value in version.metrics.items():
            figures.add_metric([version.model, name], value)
    yield from (number, learned, figures)
