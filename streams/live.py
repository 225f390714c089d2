"""A worker's process, from its first check to its exit status."""

import logging
import signal

import faust
import structlog

from sinks.checkpoint import RedisStore
from sinks.connection import connect
from sinks.serving import Reader
from streams.faust_app import faust_app
from streams.metrics import WorkerMetrics, told_to_operators
from streams.pipeline import Pipeline
from streams.preflight import refuse_unfinished, refuse_unready
from streams.seldom import Seldom
from streams.settings import Settings
from streams.worker import Worker

REDIS_SECONDS = 5.0
CHATTY = ("aiokafka", "aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator")
"""Loggers that tell of every attempt, ten times a second for as long as a broker is away."""

SELDOM_SECONDS = 10.0


def run_worker(pipeline: Pipeline, settings: Settings) -> None:
    """Run one worker of a pipeline until it is told to stop by SIGTERM or SIGINT; then drain and leave.

    Ends the process: by SystemExit, or at once where only the checkpoint can be trusted (see watchdog). Raises NotReady
    and KafkaAway before anything has started.
    """
    told = structlog.processors
    structlog.configure(
        processors=[told.add_log_level, told.TimeStamper("iso"), told.format_exc_info, told.JSONRenderer()]
    )
    # Until the app runs, which takes the signal over, there is nothing to drain.
    signal.signal(signal.SIGTERM, _leave)
    refuse_unready(pipeline, settings)
    refuse_unfinished(settings)
    client = connect(settings.redis, REDIS_SECONDS)
    worker = Worker(pipeline, settings, RedisStore(client), Reader(client).progress)
    app = faust_app(worker)
    with told_to_operators(settings, WorkerMetrics(worker), worker.stalled):
        execute(app)


def execute(app: faust.App) -> None:
    """Run a Faust app in this process until it is told to stop; its logs begin at warnings."""
    process = faust.Worker(app, loglevel="WARN", redirect_stdouts=False)
    for name in CHATTY:
        logging.getLogger(name).addFilter(Seldom(SELDOM_SECONDS))
    # To turn with every message it sets all loggers to DEBUG, aiokafka's of each partition of each fetch too.
    process.spinner = None
    process.execute_from_commandline()


def _leave(*_: object) -> None:
    raise SystemExit(0)
