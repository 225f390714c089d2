"""`headrace api`: the read API, as a process."""

import signal
from typing import Annotated

import msgspec
import typer
import uvicorn
from rich.console import Console

from api.app import create_app
from api.backlog import Log
from api.settings import ApiSettings
from sinks.connection import connect
from sinks.serving import Reader
from streams.assembly import customer_features, feature_names, pipeline
from streams.running import local
from streams.services.ports import free_port
from streams.settings import Settings
from streams.unread import Unread


def api_command(
    host: Annotated[str | None, typer.Option(help="The address to listen on; HEADRACE_HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as one JSON object.")] = False,
) -> None:
    """Serve scores, features and models over HTTP, reading from Redis, until SIGTERM or Ctrl-C."""
    settings = local(Settings())
    host = settings.host if host is None else host
    port = (settings.port if port is None else port) or free_port()
    address = f"http://{host}:{port}"
    if as_json:
        typer.echo(msgspec.json.encode({"api": address}))
    else:
        Console(stderr=True).print(f"reading from Redis for {address}/docs", soft_wrap=True)
    # uvicorn drains at SIGTERM and then raises it again, for whoever started it; this is a process of its own.
    signal.signal(signal.SIGTERM, lambda *_: None)
    client = connect(settings.redis)
    serve_api(settings, host, port, Unread(pipeline(settings), settings.kafka, client))


def serve_api(settings: Settings, host: str, port: int, log: Log | None = None) -> None:
    """Serve the API on `host` and `port` until a signal ends it; `log` tells what waits for the pipeline, if anybody.

    It reads results by a connection of its own.
    """
    names = {**feature_names(settings), "customer": customer_features(settings).names}
    app = create_app(Reader(connect(settings.redis)), ApiSettings(feature_names=names), log=log)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
