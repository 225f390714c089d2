"""`headrace worker`: one process of the live pipeline."""

from streams.assembly import fraud_pipeline
from streams.collector import spare_keyed_state
from streams.commands.screen import told_plainly
from streams.live import run_worker
from streams.preflight import NotReady
from streams.running import local
from streams.settings import Settings
from streams.topic_admin import KafkaAway


def worker_command() -> None:
    """Run one worker: scores, learns and serves until SIGTERM. Start more of them to share the partitions."""
    settings = local(Settings())
    spare_keyed_state()
    with told_plainly(NotReady, KafkaAway):
        run_worker(fraud_pipeline(settings), settings)
