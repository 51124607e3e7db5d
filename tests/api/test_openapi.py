"""The OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from broker.core.errors import ERRORS
from broker.core.settings import BrokerSettings
from broker.core.settings_schema import TOKEN_VARIABLE, settings_of
from broker.http.error_responses import STATUS
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
        assert names == set(route.query.__struct_fields__)
    assert sum(len(path) for path in document()["paths"].values()) == len(ROUTES)


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
    assert lease["schema"] == {"type": "integer", "minimum": 1, "maximum": 604_800}
