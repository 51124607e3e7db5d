"""The points of the security list, each with the tests that hold it, and those that have no better place."""

import re
from pathlib import Path

import aiohttp
import pytest
from packaging.version import Version

from broker.auth.grants import Access
from broker.http.ui.assets import assets
from tests.api.client import NO_JOB, Http
from tests.security.hostile import NAMES
from tests.ui.test_pages import POLICY

TESTS = Path(__file__).resolve().parents[1]

POINTS: dict[str, tuple[str, ...]] = {
    "1 tokens": (
        "security/test_access.py::test_route_with_a_token_of_each_scope",
        "security/test_access.py::test_compare_looks_at_every_token",
        "security/test_tokens.py::test_exposed_address_wants_tokens_or_a_word",
        "security/test_processes.py::test_worker_and_command_line_with_a_token",
    ),
    "2 aiohttp": ("security/test_points.py::test_aiohttp_is_new_enough_and_parses_in_c",),
    "3 smuggling": (
        "security/test_hostile.py::test_smuggled_request_is_not_answered",
        "security/test_hostile.py::test_chunks_that_are_wrong",
    ),
    "4 limits": (
        "api/test_bodies.py::test_enqueue_with_a_length_over_all_bounds",
        "security/test_slow_clients.py::test_slow_clients_leave_the_others_alone",
        "security/test_slow_clients.py::test_busy_ones_stay",
    ),
    "5 JSON": ("api/test_bad_input.py::test_enqueue_with_a_wrong_field",),
    "6 keys": (
        "unit/test_script_texts.py::test_scripts_use_only_the_keys_of_python",
        "api/test_bad_input.py::test_group_name_that_is_hostile",
    ),
    "7 log names": ("logs/test_write.py::test_write_refuses_what_is_no_id",),
    "8 log content": ("api/test_logs.py::test_read_log_is_harmless", "cli/test_job_log.py::test_log_on_terminal"),
    "9 our own logs": (
        "api/test_problems.py::test_fault_at_a_hostile_path",
        "security/test_points.py::test_own_logs_have_no_control_characters",
    ),
    "10 dashboards": ("security/test_points.py::test_nothing_that_a_browser_would_run_is_answered",),
    "11 code of others": (
        "worker/test_process.py::test_the_command_is_not_given_to_a_shell",
        "worker/test_process.py::test_the_environment",
    ),
    "12 header injection": ("security/test_points.py::test_no_text_of_a_client_gets_into_a_header",),
    "13 error bodies": (
        "api/test_problems.py::test_error_as_an_answer",
        "api/test_problems.py::test_fault_that_nobody_expected",
    ),
    "14 GET that changes": (
        "api/test_routes.py::test_next_by_head_takes_no_job",
        "api/test_browsers.py::test_next_for_a_page_of_another_site",
        "api/test_browsers.py::test_every_route_that_changes_something",
        "api/test_browsers.py::test_every_route_under_another_name",
    ),
    "15 the store's link": (
        "deploy/test_access.py::test_user_may_do_nothing_else",
        "security/test_store_link.py::test_broker_speaks_tls_as_its_own_user",
    ),
    "16 supply chain": (
        "deploy/test_image.py::test_lock_names_a_version_and_hashes_of_each_package",
        "deploy/test_kubernetes.py::test_kubernetes_gives_no_pod_more_than_it_needs",
    ),
    "17 cost": (
        "contract/test_rates.py::test_next_keeps_to_the_rate",
        "api/test_bad_input.py::test_enqueue_with_a_hostile_idempotency_key",
    ),
    "18 unknown": ("security/test_points.py::test_unknown_group_and_unknown_job_are_told_alike",),
}


@pytest.fixture
def access() -> Access:
    """No token is asked for."""
    return Access()


@pytest.mark.parametrize("point", POINTS)
def test_point_has_its_tests(point: str) -> None:
    """Each point of the list names tests, and they are there."""
    for place in POINTS[point]:
        path, _, name = place.partition("::")
        assert re.search(rf"^ *(async )?def {name}\(", (TESTS / path).read_text("utf-8"), re.MULTILINE), place


def test_aiohttp_is_new_enough_and_parses_in_c() -> None:
    """No release with a known fault is installed, and requests are read by the strict parser in C."""
    assert Version(aiohttp.__version__) >= Version("3.14.1")
    assert aiohttp.http_parser.HttpRequestParser.__module__ == "aiohttp._http_parser"


async def test_own_logs_have_no_control_characters(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever clients send, at debug a line of the log is one line, and has no escape sequence."""
    caplog.set_level("DEBUG")
    for text in (b"\x1b[31m\r\n\r\n", b"GET /\x1b[2J HTTP/1.1\r\nX: \x1b]0;x\x07\r\n\r\n", b"X\x08\x08: y\r\n\r\n"):
        await http.raw(text)
    for name in NAMES:
        await http("GET", f"/v1/groups/{name}/jobs?status=%1b%0a", User_Agent="x\t%1b")
    for record in caplog.records:
        assert record.name == "asyncio" or not re.search(r"[\x00-\x1f\x7f]", record.getMessage()), record


async def test_nothing_that_a_browser_would_run_is_answered(http: Http) -> None:
    """Pages and scripts exist only under ui/, each with the policy that lets this broker's scripts run and no others.

    Every other answer is JSON or plain text and is taken for nothing else; markup in a request comes back as JSON text.
    """
    names = ("/v1/groups", "/v1/groups/%3Cscript%3E", "/healthz", "/v1/openapi.json", "/metrics", "/admin")
    for path in (*names, "/UI/", "/uix/%3Cscript%3E", "/index.html", "/v1/ui/", "//ui/"):
        reply = await http("GET", path)
        assert reply.headers["Content-Type"].partition(";")[0] in {"application/json", "text/plain"}, path
        assert reply.headers["X-Content-Type-Options"] == "nosniff", path
    for path in ("/", "/ui"):
        reply = await http("GET", path)
        assert (reply.status, reply.headers["Location"], reply.text) == (303, "ui/", ""), path
        assert reply.headers["Content-Security-Policy"] == POLICY, path
    for path in (
        "/ui/",
        "/ui/%3Cscript%3Ealert(1)%3C/script%3E",
        "/ui/groups/%22%3E%3Cimg%20onerror=x%3E?q=%3Cscript%3E",
    ):
        page = await http("GET", path)
        assert page.headers["Content-Security-Policy"] == POLICY, path
        assert page.text == (await http("GET", "/ui/")).text  # nothing of the request is in it
        assert re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|<style|\sstyle=|javascript:", page.text) is None, path
    for name in assets().files:
        asset = await http("GET", f"/ui/static/{assets().version}/{name}")
        assert (asset.status, asset.headers["Content-Security-Policy"]) == (200, POLICY), name
        assert asset.headers["X-Content-Type-Options"] == "nosniff", name


async def test_no_text_of_a_client_gets_into_a_header(http: Http) -> None:
    """A line break, %0d%0a, in a path, a query or a header makes no header of an answer."""
    for name in ("a%0d%0aX-Evil:%201", "%0aX-Evil:1"):
        for path in (f"/v1/groups/{name}/jobs", f"/v1/jobs?group={name}", f"/{name}", f"/v1/groups/g/jobs/{name}"):
            reply = await http("GET", path, Titan_Lease="x", Idempotency_Key="X-Evil")
            assert reply.status in {400, 404}
            assert "X-Evil" not in reply.headers
            assert not any("evil" in value.lower() for value in reply.headers.values())


async def test_unknown_group_and_unknown_job_are_told_alike(http: Http) -> None:
    """A job that is not there has the same 404 whether its group exists, and so has another group's job."""
    [job] = await http.enqueue(group="other")
    await http.enqueue(group="g")
    places = [("nowhere", NO_JOB), ("g", NO_JOB), ("g", job["id"]), ("g", "x")]
    answers = {(await http("GET", f"/v1/groups/{group}/jobs/{job_id}")).text for group, job_id in places}
    assert len(answers) == 1
