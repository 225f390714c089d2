"""`headrace sink`: one process that brings what stands on the topics to ClickHouse."""

import signal
import time

import structlog

from schemas.privacy import Tokeniser
from sinks.analytics import AnalyticsSink, Client, client_for, create_schema
from sinks.base import SinkBusy
from sinks.feature_names import keep_feature_names
from streams.analytics_feed import AnalyticsFeed
from streams.assembly import feature_names
from streams.metrics import FeedMetrics, told_to_operators
from streams.running import local
from streams.settings import Settings

log = structlog.get_logger()


def sink_command() -> None:
    """Write events and results to ClickHouse until SIGTERM. More of them share the topics' partitions.

    The tables and views are created first. HEADRACE_METRICS_PORT opens /livez and /metrics.
    """
    run_sink(local(Settings()))


def run_sink(settings: Settings) -> None:
    """Feed ClickHouse until SIGTERM or SIGINT; then write what is at hand and return."""
    structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
    # Until the feed runs there is nothing to drain.
    signal.signal(signal.SIGTERM, _leave)
    sink = AnalyticsSink(prepared(settings))
    tokeniser = Tokeniser({"1": settings.key("tokens")})
    feed = AnalyticsFeed(settings.kafka, f"{settings.group}-analytics", sink, tokeniser)
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: feed.stop())
    with told_to_operators(settings, FeedMetrics(feed), feed.stalled):
        feed.run()
    log.info("drained", **feed.counts)


def prepared(settings: Settings) -> Client:
    """Return a client of a ClickHouse that has tables, views and the names of features; wait for one that is away."""
    while True:
        try:
            client = client_for(settings.clickhouse)
            create_schema(client)
            keep_feature_names(client, feature_names(settings))
        except SinkBusy as busy:
            log.warning("store away", why=str(busy))
            time.sleep(busy.retry_after)
        else:
            return client


def _leave(*_: object) -> None:
    raise SystemExit(0)
