"""The command line, and the one place where everything is put together."""

import typer

from streams.commands import bench, chaos, dead_letters, evaluate, export, models, rollout, services, topics
from streams.commands.api import api_command
from streams.commands.backup import backup_command
from streams.commands.demo import demo_command
from streams.commands.evaluate_offers import evaluate_offers_command
from streams.commands.explain import explain_command
from streams.commands.features import features_command
from streams.commands.publish import publish_command
from streams.commands.replay import replay_command
from streams.commands.replay_decision import replay_decision_command
from streams.commands.restore import rebuild_command, restore_command
from streams.commands.sink import sink_command
from streams.commands.sql import sql_command
from streams.commands.worker import worker_command

app = typer.Typer(
    name="headrace",
    help="Score payments for fraud as they happen, and learn from every label.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.add_typer(services.commands, name="services")
app.add_typer(evaluate.commands, name="evaluate")
evaluate.commands.command("offers")(evaluate_offers_command)
app.add_typer(models.commands, name="models")
app.add_typer(rollout.commands, name="rollout")
app.add_typer(topics.commands, name="topics")
app.add_typer(dead_letters.commands, name="dead-letters")
app.add_typer(export.commands, name="export")
app.add_typer(bench.commands, name="bench")
app.add_typer(chaos.commands, name="chaos")
app.command("demo")(demo_command)
app.command("features")(features_command)
app.command("publish")(publish_command)
app.command("replay")(replay_command)
app.command("worker")(worker_command)
app.command("sink")(sink_command)
app.command("api")(api_command)
app.command("sql")(sql_command)
app.command("explain")(explain_command)
app.command("replay-decision")(replay_decision_command)
app.command("backup")(backup_command)
app.command("restore")(restore_command)
app.command("rebuild")(rebuild_command)
