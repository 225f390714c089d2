"""The ClickHouse engine behind its own HTTP interface, as one process that owns the path."""

import http.client
import sys
from pathlib import Path


def command(folder: Path, port: int) -> list[str]:
    """Return the server's command line, with its data in `folder`."""
    return [sys.executable, "-m", "sinks.chdb_server", "--path", str(folder), "--port", str(port)]


def is_ready(port: int) -> bool:
    """Return whether the server on `port` answers `/ping`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
