"""A model is promoted only where workers run it; what was said last of an alias holds."""

import asyncio

import pytest
from typer.testing import CliRunner

from schemas.topics import MODEL_ALIASES
from sinks.memory import MemoryValues
from sinks.serving import Reader, apply, serve
from streams.main import app
from streams.model_aliases import promotion, said_last
from streams.model_orders import Refused
from tests.contracts.results import model_alias, model_version, record
from tests.streams.memory_log import MemoryLog


def reader() -> Reader:
    values = MemoryValues()
    version = model_version(version=3, model="river")
    asyncio.run(apply(values, serve(record(version)[0], MODEL_ALIASES.encode(version))))
    return Reader(values)


def test_without_a_share_a_model_becomes_the_champion_and_with_one_the_challenger() -> None:
    champion = asyncio.run(promotion(reader(), "river", None, "", "ann", 5))
    challenger = asyncio.run(promotion(reader(), "river", 0.1, "it is better", "ann", 7))
    assert (champion.alias, champion.model, champion.share, champion.event_time) == ("champion", "river", 1.0, 5)
    assert (challenger.alias, challenger.share, challenger.why, challenger.by) == (
        "challenger",
        0.1,
        "it is better",
        "ann",
    )
    assert (champion.event_id, challenger.event_id) == ("river@3>5", "river@3>7")


def test_a_model_that_was_never_published_is_not_promoted() -> None:
    with pytest.raises(Refused, match="no model 'forest'"):
        asyncio.run(promotion(reader(), "forest", None, "", "ann", 5))


def test_a_model_that_no_worker_runs_is_not_promoted() -> None:
    said = CliRunner().invoke(app, ["models", "promote", "nobody"], env={"HEADRACE_SHADOWS": '{"river": "logistic"}'})
    assert said.exit_code == 1
    assert "no worker with these settings runs 'nobody'" in said.output
    assert "HEADRACE_SHADOWS" in said.output


def test_of_each_alias_what_was_said_last_holds_and_what_cannot_be_read_says_nothing() -> None:
    log = MemoryLog()
    log.append(MODEL_ALIASES, [model_alias(), model_alias(share=0.5), b"broken"])
    log.append(MODEL_ALIASES, [model_alias(alias="champion", model="fraud")], partition=1)
    assert [(each.alias, each.model, each.share) for each in said_last(log)] == [
        ("champion", "fraud", 0.1),
        ("challenger", "river", 0.5),
    ]
