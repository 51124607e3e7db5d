"""The OpenAPI document."""

from openapi_spec_validator import OpenAPIV31SpecValidator

from broker.api.openapi import document
from broker.api.problems import STATUS
from broker.api.routes import ROUTES
from broker.errors import ERRORS


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


def test_parameters_are_never_null() -> None:
    """A parameter that may be left out is documented by its type alone, with its bounds."""
    operation = document()["paths"]["/v1/jobs"]["get"]
    lease = next(parameter for parameter in operation["parameters"] if parameter["name"] == "lease")
    assert lease["schema"] == {"type": "integer", "minimum": 1, "maximum": 604_800}
