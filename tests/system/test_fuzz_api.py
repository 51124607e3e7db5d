"""Requests made up from the OpenAPI document, to a broker that runs: no fault, and each answer is as documented."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, cycle
from urllib.request import Request, urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from broker.http.openapi import document
from broker.http.routes import ROUTES
from tests.system.conftest import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EXAMPLES = 40
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
WAITS = ("wait", "follow", "view")
"""Parameters that hold an answer up."""


def real_jobs(url: str) -> Iterator[dict[str, str]]:
    """Groups and ids of jobs that are there, every other one running, for half of the requests; round and round."""
    body = json.dumps({"jobs": [{"image": "x", "timeout": 600}] * 200}).encode()
    with urlopen(Request(f"{url}/v1/groups/g/jobs", body, {"Content-Type": "application/json"})) as made:
        ids = [job["id"] for job in json.load(made)["jobs"]]
    with urlopen(f"{url}/v1/jobs?n=100"):
        pass
    return cycle([{"group_name": "g", "id": ids[(number * 37) % 200]} for number in range(200)])


@pytest.mark.filterwarnings("ignore")
def test_made_up_requests_get_documented_answers(broker: Callable[..., tuple[Program, str]]) -> None:
    """Every operation takes 40 requests made from its schema, right and wrong, with no 5xx and nothing undocumented."""
    program, url = broker()
    real = real_jobs(url)
    schema = schemathesis.openapi.from_dict(document())
    answers: Counter[tuple[str, int]] = Counter()
    asked: set[str] = set()
    turns = count()
    for found in schema.get_all_operations():
        operation = found.ok()
        asked.add(operation.definition.raw["operationId"])

        @seed(1)
        @settings(
            max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            for name in WAITS:
                case.query.pop(name, None)
            if case.operation.definition.raw["operationId"] == "listen":
                case.query["kind"] = "none"  # this is refused: others do not end
            if case.path_parameters and next(turns) % 2:
                case.path_parameters |= {n: v for n, v in next(real).items() if n in case.path_parameters}
            answer = case.call(base_url=url, timeout=20)
            case.validate_response(answer, checks=CHECKS)
            answers[case.operation.label, answer.status_code] += 1

        ask()
    assert asked == {route.verb for route in ROUTES}
    print("\n".join(f"{label} {status}: {count}" for (label, status), count in sorted(answers.items())))
    assert "Traceback" not in program.output
    assert program.stop() == 0
