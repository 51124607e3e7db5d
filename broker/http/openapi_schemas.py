"""The schemas of the OpenAPI document: those of msgspec, with all that a generator of clients and its reader need."""

import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from broker.http.field_descriptions import DESCRIPTIONS

SCHEMAS = "#/components/schemas/{name}"
"""The reference to a schema of the document."""

_OF_PROPERTY = ("description", "examples")
"""What is said of a property and not of one of the types that it may have."""


def components(taken: Iterable[Any], given: Iterable[Any]) -> dict[str, Any]:
    """The schema of each struct and of those inside it. Every property has a description, or a schema that has one.

    `taken`: structs of requests. `given`: structs of answers.
    """
    _, answers = msgspec.json.schema_components(tuple(given), ref_template=SCHEMAS)
    _, schemas = msgspec.json.schema_components((*taken, *given), ref_template=SCHEMAS)
    for name, schema in schemas.items():
        for part in _parts(schema):
            if "enum" in part and all(isinstance(value, str) for value in part["enum"]):
                part.setdefault("type", "string")
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
        properties = schema.get("properties", {})
        schema["properties"] = {
            field: _optional(_described(name, field, part), is_given=name in answers)
            for field, part in properties.items()
        }
    return schemas


def _described(struct: str, field: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a property with its description, which msgspec puts into the type that may also be null."""
    for choice in schema.get("anyOf", ()):
        schema.update({key: choice.pop(key) for key in _OF_PROPERTY if key in choice})
    own = DESCRIPTIONS.get(f"{struct}.{field}") or schema.get("description") or DESCRIPTIONS.get(field)
    return schema | {"description": own} if own else schema


def _optional(schema: dict[str, Any], *, is_given: bool) -> dict[str, Any]:
    """The schema of a property. Only answers have defaults in the schema, since they always have the field.

    Generators take a field with a default for one that is always there, and would demand it in a request.
    """
    default = schema.get("default")
    if "default" not in schema or (is_given and default is not None):
        return schema
    schema = {key: value for key, value in schema.items() if key != "default"}
    if default not in (None, "", [], {}):
        schema["description"] = f"{schema.get('description', '')} Default: {json.dumps(default)}.".strip()
    return schema


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all schemas inside it."""
    if isinstance(schema, dict):
        yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _parts(part)
