"""The page of the HTTP API, from the OpenAPI document: each call with its fields, errors and an example."""

import re
from collections.abc import Iterator
from typing import Any

from broker.http.openapi import document
from tests.docs.http_examples import EXAMPLES, Example, snippets
from tests.docs.tables import page, table

METHODS = ("get", "post", "put", "patch", "delete")
CHAPTERS = (
    ("Jobs", r"(?!.*/(?:start|touch|success|error|release|wait)$)(?:/v1/groups/\{group_name\}/jobs|/v1/jobs/\{id\})"),
    ("Delivery", r"/v1/jobs|.*/(?:start|touch|success|error|release|wait)$"),
    ("Groups", r"/v1/groups"),
    ("Workers", r"/v1/workers"),
    ("Operation", r"/v1/"),
    ("Health and metrics", r"/"),
)
_EVERYWHERE = {"internal", "misdirected", "unauthorized", "forbidden", "store_unavailable", "overloaded"}
_CODE = re.compile(r"`(\w+)`:")


def http_page() -> str:
    """All calls by chapter, then the bodies."""
    spec = document()
    return page("http", rows="".join(_chapters(spec)) + "\n## Bodies\n" + "".join(_bodies(spec)))


def calls(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each call: its path, method and operation."""
    for path, methods in spec["paths"].items():
        yield from ((path, method, methods[method]) for method in METHODS if method in methods)


def example_of(path: str, method: str, call: dict[str, Any]) -> str:
    """The three blocks of a call's example."""
    example = EXAMPLES.get(call["operationId"], Example())
    kinds = list(call.get("requestBody", {}).get("content", {}))
    content_type = "text/plain" if isinstance(example.body, str) else (kinds or ["application/json"])[0]
    answers = _good(call)[1].get("content", {})
    gives = "json" if "application/json" in answers else "text" if answers else "nothing"
    return snippets(method.upper(), path, example, content_type, gives)


def _chapters(spec: dict[str, Any]) -> Iterator[str]:
    rest = list(calls(spec))
    for heading, pattern in CHAPTERS:
        inside = [each for each in rest if re.match(pattern, each[0])]
        rest = [each for each in rest if each not in inside]
        rows = ((f"[{call['operationId']}](#{call['operationId']})", f"`{method.upper()} {path}`", _summary(call))
                for path, method, call in inside)  # fmt: skip
        yield f"\n## {heading}\n\n" + table(("call", "path", "does"), rows)
        for each in inside:
            yield from _call(spec, *each)


def _summary(call: dict[str, Any]) -> str:
    return str(call["summary"])


def _call(spec: dict[str, Any], path: str, method: str, call: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {call['operationId']}\n\n`{method.upper()} {path}`\n\n{_summary(call)} {_scope(call)}\n"
    if call["parameters"]:
        rows = (
            (f"`{each['name']}`", each["in"], _type(spec, each["schema"]), _text(spec, each))
            for each in call["parameters"]
        )
        yield "\n" + table(("parameter", "in", "type", "means"), rows)
    body = call.get("requestBody")
    if body:
        yield f"\nBody: {_media(body['content'])}.{'' if body['required'] else ' It may be left out.'}\n"
    status, answer = _good(call)
    yield f"\nAnswer {status}: {_media(answer['content']) if 'content' in answer else 'no body'}.{_headers(answer)}\n"
    errors = list(_errors(call))
    if errors:
        yield f"\nErrors: {', '.join(errors)}.\n"
    yield "\n" + example_of(path, method, call)


def _scope(call: dict[str, Any]) -> str:
    scopes = [scope for each in call["security"] for scope in each.get("token", [])]
    return f"Scope: `{scopes[0]}`." if scopes else "It needs no token."


def _good(call: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return next((status, answer) for status, answer in call["responses"].items() if status < "400")


def _errors(call: dict[str, Any]) -> Iterator[str]:
    for status, answer in call["responses"].items():
        codes = [code for code in _CODE.findall(answer["description"]) if code not in _EVERYWHERE]
        if status >= "400" and codes:
            yield f"{status} " + ", ".join(f"[`{code}`](errors.md#{code})" for code in codes)


def _headers(answer: dict[str, Any]) -> str:
    return "".join(f" Header `{name}`: {each['description']}" for name, each in answer.get("headers", {}).items())


def _media(content: dict[str, Any]) -> str:
    """The types of a body, each with a link to its fields."""
    return " or ".join(f"`{kind}`{_reference(each['schema'])}" for kind, each in content.items())


def _reference(schema: dict[str, Any]) -> str:
    if "$ref" not in schema:
        return ""
    name = schema["$ref"].rpartition("/")[2]
    return f", [{name}](#body-{name.lower()})"


def _bodies(spec: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(spec["components"]["schemas"].items()):
        text = schema.get("description", "").partition("\n\n")[0]
        yield f"\n### Body {name}\n\n{' '.join(text.split())}\n"
        needed = schema.get("required", [])
        fields = schema.get("properties", {})
        rows = (
            (
                f"`{field}`" + (" (required)" if field in needed else ""),
                _type(spec, each),
                _text(spec, {"schema": each}),
            )
            for field, each in fields.items()
        )
        if fields:
            yield "\n" + table(("field", "type", "means"), rows)


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without its null."""
    choices = [each for each in schema.get("anyOf", schema.get("oneOf", [])) if each.get("type") != "null"]
    if not choices:
        return schema
    return {**schema, **choices[0]} if len(choices) == 1 else schema


def _type(spec: dict[str, Any], schema: dict[str, Any]) -> str:
    """The type of a field in words, with a link where it is a body of its own."""
    real = _plain(schema)
    if "$ref" in real:
        name = real["$ref"].rpartition("/")[2]
        found = spec["components"]["schemas"][name]
        return f"[{name}](#body-{name.lower()})" if "properties" in found else _type(spec, found)
    if "enum" in real:
        return " or ".join(f"`{each}`" for each in real["enum"])
    if real.get("type") == "array":
        return f"list of {_type(spec, real.get('items', {}))}"
    if "anyOf" in real:
        return " or ".join(_type(spec, each) for each in real["anyOf"] if each.get("type") != "null")
    return "time" if real.get("format") == "date-time" else str(real.get("type", "any"))


def _text(spec: dict[str, Any], field: dict[str, Any]) -> str:
    """What a field means, its bounds and its default."""
    real = _plain(field["schema"])
    said = field.get("description") or real.get("description", "")
    default = field["schema"].get("default")
    known = (
        ""
        if default in (None, "", [], {})
        else f"Default: `{str(default).lower() if default in (True, False) else default}`."
    )
    return " ".join(filter(None, [said, _bounds(real), known]))


def _bounds(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"{least:,} to {most:,}."
    if "maxItems" in schema:
        return f"{schema.get('minItems', 0):,} to {schema['maxItems']:,} items."
    if "maxLength" in schema:
        return f"At most {schema['maxLength']:,} characters."
    return f"{least:,} or more." if least is not None else ""
