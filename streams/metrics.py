"""What a running process tells its operators over HTTP: whether it lives, and what it has counted.

| metric                                | labels                      | meaning                                        |
|---------------------------------------|-----------------------------|------------------------------------------------|
| `headrace_lane_records_total`         | processor, partition        | records stepped since it was assigned          |
| `headrace_lane_said_total`            | processor, partition        | records said of them                           |
| `headrace_lane_dead_letters_total`    | processor, partition        | records that could not be used                 |
| `headrace_lane_quarantined_total`     | processor, partition        | records set aside because workers died of them |
| `headrace_lane_repeats_total`         | processor, partition        | records said twice by their source, dropped    |
| `headrace_lane_fenced_total`          | processor, partition        | commits refused: another worker owned the task |
| `headrace_lane_busy_total`            | processor, partition        | times the store was away                       |
| `headrace_lane_waiting`               | processor, partition        | records fetched and not stepped yet            |
| `headrace_lane_lag`                   | processor, partition, topic | records in the log that the checkpoint lacks   |
| `headrace_lane_last_progress_seconds` | processor, partition        | when it last committed, or had nothing to do   |
| `headrace_model_version`              | model                       | the newest published version                   |
| `headrace_model_learned_seconds`      | model                       | the newest outcome that it has learned         |
| `headrace_model_figure`               | model, figure               | what that version tells, such as label_drifts  |
| `headrace_sink_records_total`         |                             | records written to ClickHouse                  |
| `headrace_sink_batches_total`         |                             | batches they were written in                   |
| `headrace_sink_skipped_total`         |                             | records left out: no message, or a tombstone   |
| `headrace_sink_busy_total`            |                             | times ClickHouse was away                      |
| `headrace_sink_lag`                   | topic, partition            | records in the log that ClickHouse lacks       |
| `headrace_sink_last_progress_seconds` |                             | when it last looked for records                |

Times are seconds since 1970 UTC.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from faust.types import TP
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.analytics_feed import AnalyticsFeed
from streams.lane import Lane
from streams.model_metrics import model_metrics
from streams.settings import Settings
from streams.worker import Worker

LANE = ["processor", "partition"]
_HELP = {
    "records": "Records stepped.",
    "said": "Records said.",
    "dead_letters": "Records that could not be used.",
    "quarantined": "Records set aside because workers died of them.",
    "repeats": "Records said twice by their source.",
    "fenced": "Commits refused because another worker owned the task.",
    "busy": "Times the store was away.",
    "batches": "Batches written.",
    "skipped": "Records left out: no message, or a tombstone.",
}


@contextmanager
def told_to_operators(settings: Settings, collector: Collector, stalled: Callable[[], str | None]) -> Iterator[None]:
    """Answer operators on HEADRACE_METRICS_PORT for as long as this lasts; on none when it is 0."""
    if not settings.metrics_port:
        yield
        return
    endpoint = Endpoint(settings.host, settings.metrics_port, collector, stalled)
    try:
        yield
    finally:
        endpoint.close()


class Endpoint:
    """An HTTP server in a thread: `/metrics` answers what `collector` counts, `/livez` 200, or 503 with why stalled.

    Port 0 takes a free one; `port` tells which.
    """

    def __init__(self, host: str, port: int, collector: Collector, stalled: Callable[[], str | None]) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self._server = ThreadingHTTPServer((host, port), _answering(registry, stalled))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _answering(registry: CollectorRegistry, stalled: Callable[[], str | None]) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif path != "/livez":
                self._answer(HTTPStatus.NOT_FOUND, b"ask for /livez or /metrics\n")
            elif (why := stalled()) is not None:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n".encode())
            else:
                self._answer(HTTPStatus.OK, b"alive\n")

        def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: a probe every few seconds is no news."""

    return Answer


class WorkerMetrics(Collector):
    """What the lanes of a worker have counted, read off them whenever somebody asks."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the lanes assigned now, and those of the models that they know."""
        lanes = list(self._worker.lanes.values())
        names = dict.fromkeys(name for lane in lanes for name in lane.counts)
        for name in names:
            counter = CounterMetricFamily(f"headrace_lane_{name}", _HELP[name], labels=LANE)
            for lane in lanes:
                counter.add_metric(_of(lane), lane.counts[name])
            yield counter
        waiting = GaugeMetricFamily("headrace_lane_waiting", "Records fetched and not stepped.", labels=LANE)
        progress = GaugeMetricFamily("headrace_lane_last_progress_seconds", "Last progress.", labels=LANE)
        lag = GaugeMetricFamily("headrace_lane_lag", "Records not in the checkpoint.", labels=[*LANE, "topic"])
        for lane in lanes:
            waiting.add_metric(_of(lane), len(lane.inputs))
            progress.add_metric(_of(lane), lane.last_progress)
            for topic, behind in self._lag(lane):
                lag.add_metric([*_of(lane), topic], behind)
        yield from (waiting, progress, lag)
        if lanes:
            yield from model_metrics(self._worker.tables.contents.tables)

    def _lag(self, lane: Lane) -> Iterator[tuple[str, int]]:
        for topic in lane.processor.inputs:
            tp = TP(topic.name, lane.partition)
            if (end := self._worker.inflow.end(tp)) is not None:
                yield topic.name, max(0, end - (self._worker.committable(tp) or 0))


def _of(lane: Lane) -> list[str]:
    return [lane.processor.name, str(lane.partition)]


class FeedMetrics(Collector):
    """What a sink's feed has counted."""

    def __init__(self, feed: AnalyticsFeed) -> None:
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the feed."""
        for name, count in self._feed.counts.items():
            yield CounterMetricFamily(f"headrace_sink_{name}", _HELP[name], value=count)
        lag = GaugeMetricFamily("headrace_sink_lag", "Records ClickHouse lacks.", labels=["topic", "partition"])
        for (topic, partition), behind in self._feed.lag.items():
            lag.add_metric([topic, str(partition)], behind)
        yield lag
        last = self._feed.last_progress
        yield GaugeMetricFamily("headrace_sink_last_progress_seconds", "Last look for records.", value=last)
