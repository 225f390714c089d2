"""`headrace worker`: one process of the live pipeline."""

import gc

import faust
import structlog
from redis.asyncio import Redis

from sinks.checkpoint import RedisStore
from sinks.serving import Reader
from streams.assembly import fraud_pipeline
from streams.settings import Settings
from streams.worker import faust_app

GC_THRESHOLDS = (100_000, 20, 50)


def run_worker(settings: Settings) -> None:
    """Run one worker until it is told to stop by SIGTERM or SIGINT; then drain and return."""
    # The default thresholds walk all keyed state ten times a second.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
    client = Redis.from_url(settings.redis)
    app = faust_app(fraud_pipeline(settings), settings, RedisStore(client), Reader(client).progress)
    faust.Worker(app, loglevel="WARN", redirect_stdouts=False).execute_from_commandline()


def worker_command() -> None:
    """Run one worker: scores, learns and serves until SIGTERM. Start more of them to share the partitions."""
    run_worker(Settings())
