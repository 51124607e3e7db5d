"""The OpenAPI document of the dialect."""

import json
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from broker.core.settings import BrokerSettings
from broker.http.contract import contract_of
from broker.http.routes import ROUTES
from tests.api.client import Http

DOCUMENT: dict[str, Any] = json.loads(contract_of(BrokerSettings(dialect="2016")).document())


async def test_document_is_served(http: Http, today: Http) -> None:
    """A broker serves the document of what it speaks."""
    assert (await http("GET", "/v1/openapi.json")).json == DOCUMENT
    assert "/v1/tasks" not in (await today("GET", "/v1/openapi.json")).json["paths"]


def test_document_is_valid() -> None:
    """It is OpenAPI 3.1, and no two operations have one name."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(ROUTES) + 12


def test_document_has_the_words_of_2016() -> None:
    """Statuses, reasons, name, the wrappers under /tasks and their order are in the document; today's job is not."""
    schemas = DOCUMENT["components"]["schemas"]
    assert "Job" not in schemas
    job = schemas["Job2016"]["properties"]
    assert set(job["status"]["enum"]) == {"delayed", "queued", "running", "success", "error", "cancelled"}
    assert "name" in schemas["Job2016"]["required"]
    assert set(job["reason"]["enum"]) == {"timeout", "killed", "bad_exit", "client_request"}
    tasks = DOCUMENT["paths"]["/v1/groups/{group_name}/tasks"]
    taken = tasks["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert list(schemas[taken.rpartition("/")[2]]["properties"]) == ["tasks"]
    [order] = [row for row in tasks["get"]["parameters"] if row["name"] == "order"]
    assert order["schema"]["default"] == "desc"
