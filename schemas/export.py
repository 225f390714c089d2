"""JSON Schemas of every topic and an AsyncAPI 3 document of them all, for those who publish to headrace or read it.

`python -m schemas.export docs` writes them.
"""

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec
import orjson
from pydantic import BaseModel

from schemas.cloudevents import TYPE_PREFIX, VERSION
from schemas.compatibility import Schema, breaking_changes
from schemas.events import Event
from schemas.privacy import personal_fields
from schemas.records import AnyTopic
from schemas.topics import ALL

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class BreakingChange(ValueError):
    """A message changed so that its old version no longer fits; it needs a new version number."""


def write(folder: Path) -> list[Path]:
    """Write `schemas/<topic>.v<version>.json` for each topic and `asyncapi.json` into a folder; return their paths.

    Raises BreakingChange, before writing anything, when a file there has the same version but does not fit any more.
    """
    documents = {folder / "schemas" / file_name(topic): schema_of(topic) for topic in ALL}
    for path, schema in documents.items():
        broken = breaking_changes(orjson.loads(path.read_bytes()), schema) if path.exists() else []
        if broken:
            raise BreakingChange(f"{path.name}: {'; '.join(broken)}: give the topic a new version")
    documents[folder / "asyncapi.json"] = asyncapi()
    for path, document in documents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(document))
    return list(documents)


def as_bytes(document: Schema) -> bytes:
    """Return a document as it is written: indented, keys in their declared order."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def file_name(topic: AnyTopic) -> str:
    """Return the name of a topic's schema file, such as `clicks.v1.json`."""
    return f"{topic.name}.v{topic.version}.json"


def schema_of(topic: AnyTopic) -> Schema:
    """Return the JSON Schema of a topic's messages; personal fields are tagged `x-personal` with their kind."""
    model = topic.model
    schema = _of_event(model) if issubclass(model, BaseModel) else _of_struct(model)
    return {"$schema": DIALECT, "$id": f"urn:headrace:{topic.name}:{topic.version}", **schema}


def _of_event(model: type[BaseModel]) -> Schema:
    schema = model.model_json_schema()
    for name, kind in personal_fields(model).items():
        schema["properties"][name]["x-personal"] = kind
    return schema


def _of_struct(model: type[Any]) -> Schema:
    (reference,), definitions = msgspec.json.schema_components([model], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        definition["description"] = cleandoc(definition.get("description", ""))
    schema: Schema = definitions.pop(reference["$ref"].rsplit("/", 1)[-1])
    return schema | ({"$defs": definitions} if definitions else {})


def asyncapi() -> Schema:
    """Return the AsyncAPI 3 document: a channel, a message and an operation for each topic."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "headrace",
            "version": f"{max(topic.version for topic in ALL)}.0.0",
            "description": "What headrace reads from Kafka and what it says there.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in ALL},
        "operations": {_operation_name(topic): _operation(topic) for topic in ALL},
        "components": {
            "messages": {topic.model.__name__: _message(topic) for topic in ALL},
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
        },
    }


def _channel(topic: AnyTopic) -> Schema:
    keeping: Schema = {"cleanup.policy": ["compact"]} if topic.compacted else {"cleanup.policy": ["delete"]}
    if topic.retention_ms:
        keeping["min.compaction.lag.ms" if topic.compacted else "retention.ms"] = topic.retention_ms
    kafka = {"topic": topic.name, "partitions": topic.partitions, "topicConfiguration": keeping}
    name = topic.model.__name__
    return {
        "address": topic.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {**kafka, "bindingVersion": "0.5.0"}},
        **({"x-internal": True} if topic.internal else {}),
    }


def _operation_name(topic: AnyTopic) -> str:
    return f"{'receive' if issubclass(topic.model, Event) else 'send'}.{topic.name}"


def _operation(topic: AnyTopic) -> Schema:
    action = _operation_name(topic).partition(".")[0]
    return {"action": action, "channel": {"$ref": f"#/channels/{topic.name.replace('/', '~1')}"}}


def _message(topic: AnyTopic) -> Schema:
    summary = cleandoc(topic.model.__doc__ or "").partition("\n")[0]
    payload = {"schemaFormat": "application/schema+json;version=draft-2020-12"}
    return {
        "name": topic.model.__name__,
        "summary": summary,
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {**payload, "schema": {"$ref": f"./schemas/{file_name(topic)}"}},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _headers() -> Schema:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "CloudEvents in Kafka's binary mode. Plain JSON without headers is taken too.",
        "properties": {
            "ce_specversion": {"type": "string", "const": VERSION},
            "ce_id": text,
            "ce_source": text,
            "ce_type": {"type": "string", "examples": [f"{TYPE_PREFIX}transactions"]},
            "ce_time": {"type": "string", "format": "date-time"},
            "ce_tenant": text,
            "ce_traceparent": text,
        },
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]))
