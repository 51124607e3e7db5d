"""How refusals and faults are told."""

import logging
from typing import Any

import pytest

from broker.core import errors
from broker.core.errors import ERRORS, TitanError
from broker.http.error_responses import STATUS
from tests.api.client import NO_JOB, Http
from tests.stores import Store


@pytest.fixture
def fault() -> Exception:
    """What the store raises."""
    return TitanError()


@pytest.fixture(autouse=True)
def broken_show(store: Store, fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose `show` raises it."""

    async def show(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(store.jobs, "show", show)


async def _show(http: Http) -> Any:
    return await http("GET", f"/v1/groups/g/jobs/{NO_JOB}")


@pytest.mark.parametrize(
    "fault", [error("Because.") for error in ERRORS if error is not TitanError], ids=lambda error: error.word
)
async def test_error_as_an_answer(http: Http, fault: TitanError) -> None:
    """Each error has its status, its word as code and its message; those that pass have a Retry-After."""
    reply = await _show(http)
    assert reply.status == STATUS[type(fault)]
    assert (reply.problem.code, reply.problem.message) == (fault.word.lower(), "Because.")
    assert "fields" not in reply.json["error"]
    assert ("Retry-After" in reply.headers) == (reply.status in (429, 503))


@pytest.mark.parametrize("fault", [errors.LimitReached(retry_after_s=7)])
async def test_error_that_says_when_to_try_again(http: Http) -> None:
    """An error's own Retry-After goes before the usual one."""
    assert (await _show(http)).headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    "fault",
    [ZeroDivisionError("secret"), RecursionError("secret"), TimeoutError(), OSError("secret"), TitanError("secret")],
)
async def test_fault_that_nobody_expected(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of our own is a 500 that tells nothing; the log has it all."""
    with caplog.at_level(logging.ERROR):
        reply = await _show(http)
    assert (reply.status, reply.problem.code) == (500, "internal")
    assert "secret" not in reply.text
    assert "Traceback" in caplog.text
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("fault", [ZeroDivisionError()])
async def test_fault_at_a_hostile_path(
    http: Http, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path in the log cannot begin a line of its own."""
    monkeypatch.setattr("broker.http.request.context.group_name", lambda _: 1 / 0)
    assert (await http("GET", "/v1/groups/a%0Aforged%1B/jobs")).status == 500
    assert "\nforged" not in caplog.records[0].getMessage()
    assert "\x1b" not in caplog.records[0].getMessage()
