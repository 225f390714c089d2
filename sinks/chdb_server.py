"""ClickHouse's HTTP interface in front of the embedded engine: `python -m sinks.chdb_server --path DIR --port N`.

Made for `clickhouse_connect` and `curl` on this machine: queries, commands, inserts in every format, settings,
parameters, compressed request bodies. There are no users, no sessions (a `SET` ends with its request), no
external tables, and answers are not compressed.
"""

import argparse
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from pathlib import Path

import cramjam
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sinks.chdb_engine import Answer, Engine, EngineError, Statement

_OF_THE_REQUEST = {"query", "query_id", "database", "default_format", "wait_end_of_query", "buffer_size"}
_OF_THE_USER = {"user", "password", "role", "quota_key"}
_OF_THE_SESSION = {"session_id", "session_check", "session_timeout", "close_session"}
_OF_THE_WIRE = {"compress", "decompress", "client_protocol_version", "stacktrace"}
_NOT_SETTINGS = _OF_THE_REQUEST | _OF_THE_USER | _OF_THE_SESSION | _OF_THE_WIRE

_STATUS = {
    **dict.fromkeys((6, 27, 38, 41, 53, 62, 72, 89, 117, 456), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 81, 115), 404),
    48: 501,
}
_NOT_IMPLEMENTED, _UNKNOWN_COMPRESSION, _CANNOT_DECOMPRESS = 48, 89, 271


def serve(engine: Engine) -> Starlette:
    """Return the application that answers for `engine` and closes it at its own end."""

    @asynccontextmanager
    async def owning(_: Starlette) -> AsyncIterator[None]:
        with engine:
            yield

    async def answer(request: Request) -> Response:
        try:
            statement = _statement(request, await request.body())
            if not statement.text.strip():
                return PlainTextResponse("Ok.\n")
            return _response(engine, statement, await run_in_threadpool(engine.run, statement))
        except EngineError as refused:
            return _refusal(refused)

    return Starlette(routes=[Route("/ping", _ping), Route("/", answer, methods=["GET", "POST"])], lifespan=owning)


def main() -> None:
    """Serve one path on one port of 127.0.0.1 until SIGTERM."""
    parser = argparse.ArgumentParser(description="ClickHouse's HTTP interface in front of chDB")
    parser.add_argument("--path", type=Path, required=True, help="the folder of the data")
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    application = serve(Engine(chosen.path))
    uvicorn.run(application, host="127.0.0.1", port=chosen.port, log_level="warning", access_log=False)


async def _ping(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


def _statement(request: Request, raw: bytes) -> Statement:
    given = dict(request.query_params)
    if given.get("decompress") == "1":
        raise EngineError("Bodies in ClickHouse's own compression are not read here", _NOT_IMPLEMENTED)
    body = _decoded(raw, request.headers.get("content-encoding", "identity"))
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        given |= _form(request.headers["content-type"], body)
        body = b""
    query = given.get("query", "").encode()
    parameters = {name: given.pop(name) for name in list(given) if name.startswith("param_")}
    settings = {name: value for name, value in given.items() if name not in _NOT_SETTINGS}
    if request.method == "GET":
        settings["readonly"] = "2"  # a link that somebody follows changes nothing
    return Statement(
        text=query + b"\n" + body if query and body else query or body,
        database=given.get("database") or request.headers.get("x-clickhouse-database"),
        settings=settings,
        parameters={name.removeprefix("param_"): value for name, value in parameters.items()},
        default_format=given.get("default_format") or request.headers.get("x-clickhouse-format", "TabSeparated"),
        id=given.get("query_id") or str(uuid.uuid4()),
    )


# Clients send one lz4 or zstd frame for each block; these read all of them, not only the first.
_DECODERS: Mapping[str, Callable[[bytes], bytes | cramjam.Buffer]] = {
    "identity": bytes,
    "gzip": cramjam.gzip.decompress,
    "deflate": cramjam.zlib.decompress,
    "lz4": cramjam.lz4.decompress,
    "zstd": cramjam.zstd.decompress,
    "br": cramjam.brotli.decompress,
}


def _decoded(body: bytes, encoding: str) -> bytes:
    decode = _DECODERS.get(encoding)
    if decode is None:
        known = ", ".join(_DECODERS)
        raise EngineError(f"Content-Encoding {encoding!r} is not read here, only {known}", _UNKNOWN_COMPRESSION)
    try:
        return bytes(decode(body))
    except cramjam.DecompressionError as broken:
        raise EngineError(f"The body is not {encoding}: {broken}", _CANNOT_DECOMPRESS) from broken


def _form(content_type: str, body: bytes) -> dict[str, str]:
    parsed = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    fields: dict[str, str] = {}
    for part in parsed.walk():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise EngineError(f"The external table {name!r}: there are none here", _NOT_IMPLEMENTED)
        if isinstance(name, str):
            fields[name] = _text(part)
    return fields


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    return content.decode() if isinstance(content, bytes) else ""


def _response(engine: Engine, statement: Statement, answer: Answer) -> Response:
    headers = {
        "X-ClickHouse-Query-Id": statement.id,
        "X-ClickHouse-Summary": json.dumps(answer.summary),
        "X-ClickHouse-Timezone": engine.time_zone,
    }
    if answer.format:
        headers["X-ClickHouse-Format"] = answer.format
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


def _refusal(refused: EngineError) -> Response:
    headers = {"X-ClickHouse-Exception-Code": str(refused.code)}
    return PlainTextResponse(f"{refused}\n", _STATUS.get(refused.code, 500), headers)


if __name__ == "__main__":
    main()
