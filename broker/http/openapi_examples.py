"""Examples of bodies for the OpenAPI document, made from their schemas and from one example for each field."""

from typing import Any

_EXAMPLES: dict[str, Any] = {
    "at": "2026-11-29T10:00:00.000Z",
    "broker": "broker-1",
    "cause": "3f0a9b1c22de",
    "code": "wrong_state",
    "cursor": "eyJhZnRlciI6IjAifQ",
    "error": "exit code 1: KeyError: 'to'",
    "exit_code": 1,
    "group": "mail",
    "group_name": "mail",
    "host": "host-a",
    "id": "VcOmY3ToshCz5yBM",
    "image": "send",
    "lease": "1-5nRrQm2p",
    "name": "mail",
    "ok": True,
    "payload": '{"to": "ann"}',
    "reason": "bad_exit",
    "retries_delay": 60,
    "retry_at": "VcOmYoaoshCz5yHv",
    "retry_of": "VcOmXa2oshCz5xAa",
    "running": "VcOmY3ToshCz5yBM",
    "status": "queued",
    "timeout": 60,
    "version": "0.1.0",
    "worker": "w-1",
    "Announcement.name": "w-1",
    "LiveBroker.name": "broker-1",
    "Worker.name": "w-1",
}
"""The example of a field, or of Struct.field. In a list it is one item."""
_TIME = "2026-11-29T10:00:00.000Z"
_LEFT_OUT = frozenset(
    {
        *("cursor", "note", "progress", "retry_at", "retry_of", "completed_at", "receipts", "looked", "of"),
        *("reason", "error"),
    }
)
"""Optional fields that would make an example longer, or contradict the others."""


def example(schema: dict[str, Any], schemas: dict[str, Any], field: str = "") -> Any:
    """A value of the schema. `field`: the property that has it, as Struct.field."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], schemas, field)
    if schema.get("type") == "array":
        return [example(schema["items"], schemas, field)] if schema.get("items") else []
    return _object(schema, schemas) if schema.get("type") == "object" else _plain(schema, field)


def _plain(schema: dict[str, Any], field: str) -> Any:
    """A text, a number or a truth value."""
    given, kind = _EXAMPLES.get(field, _EXAMPLES.get(field.rpartition(".")[2])), schema.get("type")
    if "enum" in schema:
        return given if given in schema["enum"] else schema["enum"][-1]
    if kind == "string":
        return _TIME if schema.get("format") == "date-time" else given if isinstance(given, str) else "text"
    if kind in {"integer", "number"}:
        return given if isinstance(given, int) else max(schema.get("minimum", 0), 0)
    return kind == "boolean"


def _object(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """An object with its required fields and those optional ones that are plain values."""
    required, title = schema.get("required", []), schema.get("title", "")
    left_out = _LEFT_OUT | ({"lease"} if title == "Job" else set())  # most answers have none
    return {
        name: example(part, schemas, f"{title}.{name}")
        for name, part in schema.get("properties", {}).items()
        if name in required or (name in _EXAMPLES and name not in left_out)
    }
