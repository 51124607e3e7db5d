"""The OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from broker.core.errors import ERRORS
from broker.core.settings import BrokerSettings
from broker.core.settings_schema import TOKEN_VARIABLE, settings_of
from broker.http.error_responses import STATUS
from broker.http.field_descriptions import DESCRIPTIONS
from broker.http.openapi import document
from broker.http.routes import ROUTES


def test_document_is_valid() -> None:
    """The document is OpenAPI 3.1."""
    OpenAPIV31SpecValidator(document()).validate()


def test_document_has_every_route() -> None:
    """Each row is an operation with its parameters, its body, its answer and its refusals."""
    for route in ROUTES:
        operation = document()["paths"][route.path][route.method.lower()]
        assert operation["operationId"] == route.verb
        assert operation["summary"]
        assert str(route.status) in operation["responses"]
        assert {str(STATUS[error]) for error in route.refuses} <= operation["responses"].keys()
        assert ("requestBody" in operation) == (route.takes is not None)
        names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
        assert names == set(route.query.__struct_encode_fields__)
    assert sum(len(path) for path in document()["paths"].values()) == len(ROUTES)


def test_every_part_is_described() -> None:
    """Each operation has a known tag; each parameter, header, schema and property has a sentence."""
    tags = {tag["name"] for tag in document()["tags"]}
    used = set()
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            used |= set(operation["tags"])
            for parameter in operation["parameters"]:
                assert re.search(r"[.:;)\]]$", parameter["description"]), f"{method} {path}: {parameter['name']}"
    assert used == tags
    for name, schema in document()["components"]["schemas"].items():
        assert schema["description"], name
        assert "\n " not in schema["description"], name
        for field, part in schema["properties"].items():
            is_schema = "$ref" in part or any("$ref" in choice for choice in part.get("anyOf", ()))
            assert is_schema or re.search(r"[.:]$", part.get("description", "")), f"{name}.{field}: {part}"


def test_every_description_is_used() -> None:
    """No description is of a field that no schema has."""
    schemas = document()["components"]["schemas"]
    fields = {field for schema in schemas.values() for field in schema["properties"]}
    both = {f"{name}.{field}" for name, schema in schemas.items() for field in schema["properties"]}
    assert set(DESCRIPTIONS) <= fields | both


def test_examples_agree_with_their_schemas() -> None:
    """Each JSON body has an example that its schema accepts, and an example of an error has one of its words."""
    examples = 0
    schemas = {"components": document()["components"]}
    for operations in document()["paths"].values():
        for operation in operations.values():
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                content = part.get("content", {}).get("application/json")
                if content:
                    Draft202012Validator(content["schema"] | schemas).validate(content["example"])
                    examples += 1
    assert examples > 100
    body = document()["paths"]["/v1/groups/{group_name}/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"]["jobs"][0]["payload"] == '{"to": "ann"}'


def test_document_tells_every_error() -> None:
    """The words of all errors, with their statuses and sentences, stand in the description."""
    for error in ERRORS:
        assert f"{STATUS[error]} `{error.word.lower()}`: {error.sentence}" in document()["info"]["description"]


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (part[name] for name in ("description", "summary", "title") if isinstance(part.get(name), str))
        part = list(part.values())
    if isinstance(part, list):
        for inside in part:
            yield from _texts(inside)


def test_document_names_no_constants() -> None:
    """No text has a name of the source in capitals: a number stands there instead. Variables of settings may."""
    texts = list(_texts(document()))
    assert len(texts) > 100
    variables = {setting.variable for setting in settings_of(BrokerSettings)} | {TOKEN_VARIABLE}
    words = {word for text in texts for word in re.findall(r"\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b", text)}
    assert words - variables == set()


def test_every_scope_is_told() -> None:
    """Each operation says which scope a token needs, that of the numbers too."""
    for route in ROUTES:
        text = document()["paths"][route.path][route.method.lower()]["description"]
        assert f"`{route.scope}`" in text or (route.scope is None and text == "Needs no token.")
    assert "`read`" in document()["paths"]["/metrics"]["get"]["description"]


def test_parameters_are_never_null() -> None:
    """A parameter that may be left out is documented by its type alone, with its bounds."""
    operation = document()["paths"]["/v1/jobs"]["get"]
    lease = next(parameter for parameter in operation["parameters"] if parameter["name"] == "lease")
    text = "How long each lease lasts, in s; the job's timeout if not given."
    assert lease["schema"] == {"type": "integer", "minimum": 1, "maximum": 604_800, "description": text}
    assert lease["description"] == text


def test_a_request_demands_only_what_is_required() -> None:
    """Optional fields of requests have no default in their schema, which some generators take for required."""
    schemas = document()["components"]["schemas"]
    for name in ("NewJob", "Release", "Failure", "Announcement", "GroupSettings"):
        assert not [field for field, part in schemas[name]["properties"].items() if "default" in part], name
    assert (
        schemas["NewBulk"]["properties"]["dry_run"]["description"] == "Only count the jobs that match. Default: false."
    )
    assert schemas["Job"]["properties"]["timeout"]["default"] == 60
