"""The published schemas: generated, complete, and only ever growing."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from schemas.compatibility import breaking_changes
from schemas.export import BreakingChange, as_bytes, asyncapi, file_name, schema_of, write
from schemas.topics import ALL, FEEDBACK, MODELS, SCORES, TRANSACTIONS

DOCS = Path(__file__).parents[2] / "docs"
TOPICS = pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)


@TOPICS
def test_the_committed_schema_is_the_generated_one(topic: Any) -> None:
    committed = (DOCS / "schemas" / file_name(topic)).read_bytes()
    assert committed == as_bytes(schema_of(topic)), "run `python -m schemas.export docs` and commit"


@TOPICS
def test_no_message_breaks_its_committed_version(topic: Any) -> None:
    committed = json.loads((DOCS / "schemas" / file_name(topic)).read_text())
    assert breaking_changes(committed, schema_of(topic)) == []


@TOPICS
def test_every_schema_is_valid_and_described(topic: Any) -> None:
    schema = schema_of(topic)
    Draft202012Validator.check_schema(schema)
    assert schema["description"]


def test_the_committed_asyncapi_document_is_the_generated_one() -> None:
    assert (DOCS / "asyncapi.json").read_bytes() == as_bytes(asyncapi()), "run `python -m schemas.export docs`"


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in write(tmp_path)}
    assert {path: path.read_bytes() for path in write(tmp_path)} == first
    assert len(first) == len(ALL) + 1


def test_a_breaking_change_is_not_written(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "schemas" / file_name(TRANSACTIONS)
    older = json.loads(path.read_text())
    older["properties"]["loyalty"] = {"type": "string"}
    path.write_text(json.dumps(older))
    with pytest.raises(BreakingChange, match=r"transactions\.v1\.json: message\.loyalty: removed"):
        write(tmp_path)
    assert json.loads(path.read_text()) == older


def test_personal_fields_are_tagged() -> None:
    fields = schema_of(TRANSACTIONS)["properties"]
    assert {name: field["x-personal"] for name, field in fields.items() if "x-personal" in field} == {
        "card": "card",
        "device": "device",
        "ip": "ip",
    }


def test_a_transaction_fits_its_schema() -> None:
    schema = schema_of(TRANSACTIONS)
    transaction = {"event_id": "a", "event_time": 1, "user": "u", "amount": "1.50", "currency": "EUR", "new": 1}
    Draft202012Validator(schema).validate(transaction)
    assert not Draft202012Validator(schema).is_valid(transaction | {"amount": -1})


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = asyncapi()
    for channel in document["channels"].values():
        (reference,) = (message["$ref"] for message in channel["messages"].values())
        message = document["components"]["messages"][reference.rsplit("/", 1)[-1]]
        assert (DOCS / message["payload"]["schema"]["$ref"]).is_file()
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]


def test_upstream_topics_are_received_and_others_sent() -> None:
    operations = asyncapi()["operations"]
    assert {f"receive.{TRANSACTIONS.name}", f"receive.{FEEDBACK.name}", f"send.{SCORES.name}"} <= set(operations)
    assert asyncapi()["channels"][MODELS.name]["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == [
        "compact"
    ]


OLD: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "maxLength": 10},
        "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "pair": {"type": "array", "prefixItems": [{"type": "number"}]},
        "part": {"$ref": "#/$defs/Part"},
        "flags": {"type": ["string", "null"]},
    },
    "$defs": {"Part": {"type": "object", "properties": {"n": {"type": "number", "minimum": 0}}}},
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    new = deepcopy(OLD)
    place: Any = new
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return new


BREAKING: list[tuple[dict[str, Any], str]] = [
    (changed("properties", "size", to=None), "message.size: removed"),
    (changed("required", to=["id", "kind"]), "message.kind: newly required"),
    (changed("properties", "size", "anyOf", to=[{"type": "integer"}]), "message.size: no longer takes null"),
    (changed("properties", "flags", "type", to="string"), "message.flags: no longer takes null"),
    (changed("properties", "id", "type", to="integer"), "message.id: no longer takes string"),
    (changed("properties", "id", "maxLength", to=5), "message.id: maxLength is 5, was 10"),
    (changed("properties", "id", "pattern", to="x"), "message.id: pattern is x, was free"),
    (changed("properties", "id", "minLength", to=5), "message.id: minLength is 5, was free"),
    (changed("properties", "id", "enum", to=["x"]), "message.id: takes only x"),
    (changed("properties", "kind", "enum", to=["a"]), "message.kind: no longer takes the value b"),
    (changed("properties", "kind", to={"const": "b"}), "message.kind: no longer takes the value a"),
    (changed("properties", "tags", "items", "type", to="number"), "message.tags[]: no longer takes string"),
    (changed("properties", "pair", "prefixItems", 0, "type", to="string"), "message.pair[0]: no longer takes number"),
    (changed("$defs", "Part", "properties", "n", "minimum", to=1), "message.part.n: minimum is 1, was 0"),
    (changed("additionalProperties", to=False), "message: no longer takes unknown fields"),
    (
        changed("properties", "size", "anyOf", 0, "minimum", to=1),
        "message.size: minimum is 1, was free",
    ),
]


@pytest.mark.parametrize(("new", "report"), BREAKING, ids=[report for _, report in BREAKING])
def test_a_breaking_change_is_reported(new: dict[str, Any], report: str) -> None:
    assert breaking_changes(OLD, new) == [report]


GROWN = [
    OLD,
    changed("properties", "more", to={"type": "string"}),
    changed("properties", "kind", "enum", to=["a", "b", "c"]),
    changed("properties", "kind", to={"type": "string"}),
    changed("properties", "id", "maxLength", to=20),
    changed("properties", "id", to={"anyOf": [{"type": "string"}, {"type": "number"}]}),
    changed("properties", "size", "anyOf", 0, "type", to="number"),
    changed("required", to=[]),
    changed("properties", "id", "x-personal", to="contact"),
]


@pytest.mark.parametrize("new", GROWN)
def test_growth_breaks_nothing(new: dict[str, Any]) -> None:
    assert breaking_changes(OLD, new) == []
