"""`headrace worker`: one process of the live pipeline."""

import gc

import typer
from rich.console import Console

from streams.assembly import fraud_pipeline
from streams.live import run_worker
from streams.preflight import NotReady
from streams.running import local
from streams.settings import Settings
from streams.topic_admin import KafkaAway

GC_THRESHOLDS = (500_000, 20, 50)


def worker_command() -> None:
    """Run one worker: scores, learns and serves until SIGTERM. Start more of them to share the partitions."""
    settings = local(Settings())
    # The default thresholds walk all keyed state ten times a second.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        run_worker(fraud_pipeline(settings), settings)
    except (NotReady, KafkaAway) as refused:
        Console(stderr=True).print(str(refused), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from refused
