"""`headrace worker`: one process of the live pipeline."""

from streams.assembly import pipeline
from streams.collector import spare_keyed_state
from streams.commands.screen import told_plainly
from streams.live import run_worker
from streams.preflight import NotReady
from streams.running import local
from streams.settings import Settings
from streams.topic_admin import KafkaAway


def worker_command() -> None:
    """Run one worker: scores, ranks, learns and serves until SIGTERM. Start more of them to share the partitions."""
    settings = local(Settings())
    settings = settings.model_copy(update={"group": settings.group_of(settings.pipelines)})
    spare_keyed_state()
    with told_plainly(NotReady, KafkaAway):
        run_worker(pipeline(settings), settings)
