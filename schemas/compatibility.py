"""Which changes of a JSON Schema would refuse, or no longer say, what the old one allowed."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Return what breaks between two JSON Schemas of one message: removed and newly required fields, narrowed types.

    Narrowed are a type, an enumeration and a bound. A change of `x-` keys, titles and descriptions breaks nothing.

    >>> breaking_changes({"type": "number"}, {"type": "integer"})
    ['message: no longer takes number']
    """
    return list(_changes(_Place(old, old), _Place(new, new), "message"))


class _Place:
    """A schema, and the document its references point into."""

    def __init__(self, schema: Schema, document: Schema) -> None:
        self.document = document
        self.schema: Schema = schema
        while "$ref" in self.schema:
            self.schema = self.schema | document["$defs"][self.schema["$ref"].rsplit("/", 1)[-1]]
            self.schema.pop("$ref")

    def within(self, schema: Schema) -> "_Place":
        return _Place(schema, self.document)

    def alternatives(self) -> list["_Place"]:
        """Return the schemas of which one must hold: a list of types counts as one for each."""
        if "anyOf" in self.schema:
            return [inner for one in self.schema["anyOf"] for inner in self.within(one).alternatives()]
        kinds = self.schema.get("type")
        return [self.within(self.schema | {"type": kind}) for kind in kinds] if isinstance(kinds, list) else [self]

    @property
    def kind(self) -> str:
        """Return the type, also of an enumeration of texts that does not name it."""
        texts = all(isinstance(value, str) for value in _values(self.schema) or [None])
        return str(self.schema.get("type", "string" if texts else "anything"))


def _changes(old: _Place, new: _Place, path: str) -> Iterator[str]:
    before, after = old.alternatives(), new.alternatives()
    if len(before) == len(after) == 1:
        yield from _narrowed(before[0], after[0], path)
        return
    for one in before:
        reports = [list(_narrowed(one, other, path)) for other in after]
        if all(reports):
            same = [report for report, other in zip(reports, after, strict=True) if other.kind == one.kind]
            yield from same[0] if same else [f"{path}: no longer takes {one.kind}"]


def _narrowed(old: _Place, new: _Place, path: str) -> Iterator[str]:
    wider = new.kind in ("anything", old.kind) or (old.kind, new.kind) == ("integer", "number")
    if not wider:
        yield f"{path}: no longer takes {old.kind}"
        return
    yield from _fewer_values(old.schema, new.schema, path)
    yield from _tighter_bounds(old.schema, new.schema, path)
    yield from _fields(old, new, path)
    yield from _items(old, new, path)


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _fewer_values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = _values(old), _values(new)
    if after is None:
        return
    if before is None:
        yield f"{path}: takes only {', '.join(map(str, after))}"
        return
    gone = [str(value) for value in before if value not in after]
    if gone:
        yield f"{path}: no longer takes the value {', '.join(gone)}"


def _tighter_bounds(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for name in (*_AT_LEAST, *_AT_MOST):
        sign = 1 if name in _AT_LEAST else -1
        if name in new and (name not in old or sign * new[name] > sign * old[name]):
            yield f"{path}: {name} is {new[name]}, was {old.get(name, 'free')}"
    for name in ("pattern", "format"):
        if name in new and new[name] != old.get(name):
            yield f"{path}: {name} is {new[name]}, was {old.get(name, 'free')}"


def _fields(old: _Place, new: _Place, path: str) -> Iterator[str]:
    before, after = old.schema.get("properties", {}), new.schema.get("properties", {})
    for name, schema in before.items():
        if name not in after:
            yield f"{path}.{name}: removed"
        else:
            yield from _changes(old.within(schema), new.within(after[name]), f"{path}.{name}")
    for name in sorted(set(new.schema.get("required", [])) - set(old.schema.get("required", []))):
        yield f"{path}.{name}: newly required"
    if new.schema.get("additionalProperties") is False and old.schema.get("additionalProperties") is not False:
        yield f"{path}: no longer takes unknown fields"


def _items(old: _Place, new: _Place, path: str) -> Iterator[str]:
    if isinstance(old.schema.get("items"), dict) and isinstance(new.schema.get("items"), dict):
        yield from _changes(old.within(old.schema["items"]), new.within(new.schema["items"]), f"{path}[]")
    before, after = old.schema.get("prefixItems", []), new.schema.get("prefixItems", [])
    for place, (one, other) in enumerate(zip(before, after, strict=False)):
        yield from _changes(old.within(one), new.within(other), f"{path}[{place}]")
