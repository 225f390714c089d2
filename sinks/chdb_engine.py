"""The embedded ClickHouse engine, one statement at a time, as its server would run it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import chdb

_QUOTED = rb"`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_DATA_INSERT = re.compile(
    rb"(?P<statement>\s*INSERT\s+INTO\b"
    rb"(?:" + _QUOTED + rb"|\([^()]*\)|(?!\b(?:SELECT|WITH|VALUES|FROM|FORMAT)\b)[^`\"'()])*)"
    rb"\bFORMAT\s+(?P<format>\w+)[ \t\f]*\r?(?:\n|$)(?P<rows>.*)",
    re.IGNORECASE | re.DOTALL,
)
_ASKS = re.compile(rb"[\s(]*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK)\b", re.IGNORECASE)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)\.")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class EngineError(RuntimeError):
    """A statement the engine refuses; `code` is ClickHouse's number of the error."""

    def __init__(self, message: str, code: int | None = None) -> None:
        numbered = _CODE.search(message)
        self.code = code or (int(numbered[1]) if numbered else 1001)
        super().__init__(message[numbered.start() :] if numbered else f"Code: {self.code}. {message}")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement and the circumstances it runs in.

    `text` is SQL, followed by the rows when it is an `INSERT … FORMAT …`. `parameters` are the values of
    `{name:Type}` in it, `default_format` that of the answer when the text names none, `id` the client's own.
    """

    text: bytes
    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    default_format: str = "TabSeparated"
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: `format` is None when it was not a question."""

    body: bytes
    format: str | None
    summary: Mapping[str, str]


class Engine:
    """Owns the data of one path; only one process at a time can.

    Every statement has a connection of its own, so its database and settings die with it. Statements run side
    by side in any threads.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = str(path.resolve())
        # The engine lives as long as one connection is open.
        self._keeper = chdb.connect(self._path)
        self.time_zone = self._keeper.query("SELECT timezone()", "TabSeparated").bytes().decode().strip()

    def run(self, statement: Statement) -> Answer:
        """Run it to its end and return all it gave. Raises `EngineError`."""
        try:
            with chdb.connect(self._path) as connection:
                _enter(connection, statement)
                insert = _DATA_INSERT.fullmatch(statement.text)
                return _insert(connection, insert) if insert else _query(connection, statement)
        # The engine's own errors are plain RuntimeErrors where rows are streamed in.
        except (chdb.ChdbError, RuntimeError) as refused:
            if isinstance(refused, EngineError):
                raise
            raise EngineError(str(refused)) from refused

    def close(self) -> None:
        """Let go of the path; everything acknowledged is in it."""
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _enter(connection: Any, statement: Statement) -> None:
    if statement.database:
        connection.query("USE `" + statement.database.replace("\\", "\\\\").replace("`", "\\`") + "`")
    for name, value in statement.settings.items():
        if not _NAME.fullmatch(name):
            raise EngineError(f"{name!r} is not the name of a setting", code=115)
        literal = value.replace("\\", "\\\\").replace("'", "\\'")
        connection.query(f"SET {name} = '{literal}'")


def _insert(connection: Any, insert: re.Match[bytes]) -> Answer:
    with connection.send_insert(insert["statement"], insert["format"].decode()) as stream:
        stream.append(insert["rows"])
        done = stream.finish()
    return Answer(b"", None, _summary(written_rows=done.rows_written, written_bytes=done.bytes_written))


def _query(connection: Any, statement: Statement) -> Answer:
    result = connection.query(statement.text, statement.default_format, params=dict(statement.parameters))
    body, named = result.bytes() or b"", _FORMAT.search(statement.text)
    asks = body or _ASKS.match(statement.text)
    format_ = named[1].decode() if named else statement.default_format
    summary = _summary(
        read_rows=result.rows_read(),
        read_bytes=result.bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )
    return Answer(body, format_ if asks else None, summary)


def _summary(**figures: int) -> Mapping[str, str]:
    return {name: str(figure) for name, figure in figures.items()}
