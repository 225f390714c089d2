"""`headrace worker`: one process of the live pipeline."""

import gc

import faust
import structlog
from redis.asyncio import Redis

from sinks.checkpoint import RedisStore
from sinks.serving import Reader
from streams.assembly import fraud_pipeline
from streams.metrics import WorkerMetrics, told_to_operators
from streams.settings import Settings
from streams.worker import Worker, faust_app

GC_THRESHOLDS = (100_000, 20, 50)


def run_worker(settings: Settings) -> None:
    """Run one worker until it is told to stop by SIGTERM or SIGINT; then drain and return."""
    # The default thresholds walk all keyed state ten times a second.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
    client = Redis.from_url(settings.redis)
    worker = Worker(fraud_pipeline(settings), settings, RedisStore(client), Reader(client).progress)
    app = faust_app(worker)
    with told_to_operators(settings, WorkerMetrics(worker), worker.stalled):
        faust.Worker(app, loglevel="WARN", redirect_stdouts=False).execute_from_commandline()


def worker_command() -> None:
    """Run one worker: scores, learns and serves until SIGTERM. Start more of them to share the partitions."""
    run_worker(Settings())
