"""Every row of the route table, and what no row has."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from broker.core.errors import ERRORS
from broker.http.error_responses import STATUS
from broker.http.routes import ROUTES, Route
from tests.api.client import NO_JOB, Http, Reply

Example = Callable[[Http], Awaitable[Reply]]


async def _on(http: Http, method: str, verb: str, job: dict[str, Any], *body: Any) -> Reply:
    return await http(method, f"/v1/groups/g/jobs/{job['id']}{verb}", *body)


async def _enqueue(http: Http) -> Reply:
    return await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "i"}]})


async def _list_jobs(http: Http) -> Reply:
    await http.enqueue()
    return await http("GET", "/v1/groups/g/jobs")


async def _show(http: Http) -> Reply:
    return await _on(http, "GET", "", *await http.enqueue())


async def _await_jobs(http: Http) -> Reply:
    [job] = await http.enqueue()
    return await http("POST", "/v1/jobs/wait", {"jobs": [{"group_name": "g", "id": job["id"]}]})


async def _find(http: Http) -> Reply:
    [job] = await http.enqueue()
    return await http("GET", f"/v1/jobs/{job['id']}")


async def _history(http: Http) -> Reply:
    return await _on(http, "GET", "/history", *await http.enqueue())


async def _why(http: Http) -> Reply:
    return await _on(http, "GET", "/why", *await http.enqueue())


async def _why_group(http: Http) -> Reply:
    await http.enqueue()
    return await http("GET", "/v1/groups/g/why")


async def _failures(http: Http) -> Reply:
    await _fail(http)
    return await http("GET", "/v1/groups/g/failures")


async def _remove(http: Http) -> Reply:
    [job] = await http.enqueue()
    await _on(http, "POST", "/cancel", job)
    return await _on(http, "DELETE", "", job)


async def _inputs(http: Http) -> Reply:
    [parent] = await http.running()
    [child] = await http.enqueue({"after": [parent["id"]]})
    await _on(http, "POST", "/success", parent)
    return await _on(http, "GET", "/inputs", child)


async def _cancel(http: Http) -> Reply:
    return await _on(http, "POST", "/cancel", *await http.enqueue())


async def _retry(http: Http) -> Reply:
    [job] = await http.running()
    await _on(http, "POST", "/success", job)
    return await _on(http, "POST", "/retry", job)


async def _promote(http: Http) -> Reply:
    return await _on(http, "POST", "/promote", *await http.enqueue({"delay": 60}))


async def _flow(http: Http) -> Reply:
    return await _on(http, "GET", "/flow", *await http.enqueue())


async def _put_schedule(http: Http) -> Reply:
    body = {"schedule": {"every": 3600, "job": {"image": "x"}}}
    return await http("PUT", "/v1/groups/g/schedules/s", body)


def _on_schedule(verb: str, method: str, path: str, body: Any = None) -> Callable[[Http], Awaitable[Reply]]:
    """An example about a schedule that exists."""

    async def ask(http: Http) -> Reply:
        await _put_schedule(http)
        return await http(method, f"/v1/groups/g/schedules{path}", body)

    ask.__name__ = f"_{verb}"
    return ask


async def _preview_schedule(http: Http) -> Reply:
    body = {"schedule": {"cron": "0 9 * * 1", "zone": "Europe/Berlin", "job": {"image": "x"}}}
    return await http("POST", "/v1/schedules/preview?n=3&from=2026-01-01T00:00:00Z", body)


SCHEDULE_EXAMPLES = (
    _put_schedule,
    _preview_schedule,
    _on_schedule("list_schedules", "GET", ""),
    _on_schedule("show_schedule", "GET", "/s"),
    _on_schedule("remove_schedule", "DELETE", "/s"),
    _on_schedule("next_times", "GET", "/s/next"),
    _on_schedule("list_fires", "GET", "/s/fires"),
    _on_schedule("pause_schedule", "POST", "/s/pause", {"note": "why"}),
    _on_schedule("resume_schedule", "POST", "/s/resume"),
    _on_schedule("run_schedule", "POST", "/s/run", {"overlap": "allow"}),
    _on_schedule(
        "backfill_schedule", "POST", "/s/backfill", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T04:00:00Z"}
    ),
)


async def _list_unique_keys(http: Http) -> Reply:
    await http.enqueue({"unique": {"key": "doc-7"}})
    return await http("GET", "/v1/groups/g/unique")


async def _list_keys(http: Http) -> Reply:
    await http.enqueue({"key": "acme"})
    return await http("GET", "/v1/groups/g/keys")


async def _show_unique_key(http: Http) -> Reply:
    await http.enqueue({"unique": {"key": "doc/7"}})
    return await http("GET", "/v1/groups/g/unique/doc%2F7")


async def _free_unique_key(http: Http) -> Reply:
    await http.enqueue({"unique": {"key": "doc-7"}})
    return await http("DELETE", "/v1/groups/g/unique/doc-7")


async def _create_batch(http: Http) -> Reply:
    return await http("POST", "/v1/groups/g/batches", {"batch": {"jobs": [{"image": "i"}], "open": True}})


async def _on_batch(http: Http, method: str, verb: str = "", *body: Any) -> Reply:
    created = await _create_batch(http)
    return await http(method, f"/v1/groups/g/batches/{created.json['batch']['id']}{verb}", *body)


async def _list_batches(http: Http) -> Reply:
    await _create_batch(http)
    return await http("GET", "/v1/groups/g/batches")


async def _show_batch(http: Http) -> Reply:
    return await _on_batch(http, "GET")


async def _list_members(http: Http) -> Reply:
    return await _on_batch(http, "GET", "/jobs")


async def _add_to_batch(http: Http) -> Reply:
    return await _on_batch(http, "POST", "/jobs", {"jobs": [{"image": "i"}]})


async def _close_batch(http: Http) -> Reply:
    return await _on_batch(http, "POST", "/close")


async def _cancel_batch(http: Http) -> Reply:
    return await _on_batch(http, "POST", "/cancel")


async def _retry_batch(http: Http) -> Reply:
    created = await http("POST", "/v1/groups/g/batches", {"batch": {"jobs": [{"image": "i"}] * 2}})
    failed, succeeded = (await http("GET", "/v1/jobs?n=2")).json["jobs"]
    await _on(http, "POST", "/error", failed)
    await _on(http, "POST", "/success", succeeded)
    await _on(http, "DELETE", "", succeeded)  # its end, and that of the other one, is settled before
    return await http("POST", f"/v1/groups/g/batches/{created.json['batch']['id']}/retry")


async def _next(http: Http) -> Reply:
    await http.enqueue()
    return await http("GET", "/v1/jobs")


async def _start(http: Http) -> Reply:
    return await _on(http, "POST", "/start", *await http.enqueue(), {})


async def _touch(http: Http) -> Reply:
    return await _on(http, "POST", "/touch", *await http.running())


async def _succeed(http: Http) -> Reply:
    return await _on(http, "POST", "/success", *await http.running())


async def _fail(http: Http) -> Reply:
    return await _on(http, "POST", "/error", *await http.running(), {"reason": "bad_exit"})


async def _release(http: Http) -> Reply:
    return await _on(http, "POST", "/release", *await http.running())


async def _wait(http: Http) -> Reply:
    [other], [job] = await http.enqueue(group="h"), await http.running()
    return await _on(http, "POST", "/wait", job, {"after": [other["id"]]})


async def _log(http: Http) -> Reply:
    [job] = await http.running()
    return await http("POST", f"/v1/groups/g/jobs/{job['id']}/log", "hello\n", Content_Type="text/plain")


async def _read_log(http: Http) -> Reply:
    [job] = (await _log(http)).json.values()
    return await _on(http, "GET", "/log", job)


async def _finish(http: Http) -> Reply:
    [job] = await http.running()
    return await http(
        "POST", "/v1/jobs/finish", {"jobs": [{"group_name": "g", "id": job["id"], "status": "succeeded"}]}
    )


async def _touch_many(http: Http) -> Reply:
    [job] = await http.running()
    return await http("POST", "/v1/jobs/touch", {"jobs": [{"group_name": "g", "id": job["id"]}]})


async def _list_groups(http: Http) -> Reply:
    await http.enqueue()
    return await http("GET", "/v1/groups")


async def _show_group(http: Http) -> Reply:
    await http.enqueue()
    return await http("GET", "/v1/groups/g")


async def _create_group(http: Http) -> Reply:
    return await http("POST", "/v1/groups", {"group": {"name": "g", "paused": True}})


async def _configure(http: Http) -> Reply:
    return await http("PUT", "/v1/groups/g", {"group": {"paused": True}})


async def _adjust(http: Http) -> Reply:
    return await http("PATCH", "/v1/groups/g", {"group": {"paused": True}})


async def _delete_group(http: Http) -> Reply:
    await _remove(http)
    return await http("DELETE", "/v1/groups/g")


async def _announce(http: Http) -> Reply:
    return await http("POST", "/v1/workers", {"name": "w1", "host": "h"})


async def _list_workers(http: Http) -> Reply:
    await _announce(http)
    return await http("GET", "/v1/workers")


async def _show_worker(http: Http) -> Reply:
    await _announce(http)
    return await http("GET", "/v1/workers/w1")


async def _order(http: Http) -> Reply:
    await _announce(http)
    return await http("POST", "/v1/workers/w1/order", {"order": "quiet"})


async def _list_brokers(http: Http) -> Reply:
    return await http("GET", "/v1/brokers")


async def _show_stats(http: Http) -> Reply:
    return await http("GET", "/v1/stats?window=24h")


async def _show_group_stats(http: Http) -> Reply:
    await http.enqueue()
    return await http("GET", "/v1/groups/g/stats")


async def _listen(http: Http) -> Reply:
    async with http.session.get(f"http://{http.address[0]}:{http.address[1]}/v1/events?kind=failed") as answer:
        return Reply(answer.status, answer.headers, (await answer.content.readuntil(b"\n\n")).decode())


async def _show_scale(http: Http) -> Reply:
    return await http("GET", "/v1/scale?group=g&per_worker=4")


async def _show_group_scale(http: Http) -> Reply:
    return await http("GET", "/v1/groups/g/scale")


async def _show_overview(http: Http) -> Reply:
    await http.enqueue()
    return await http("GET", "/v1/overview?sort=queued&only=busy&only=failing")


async def _watch(http: Http) -> Reply:
    async with http.session.get(f"http://{http.address[0]}:{http.address[1]}/v1/live?view=workers") as answer:
        return Reply(answer.status, answer.headers, (await answer.content.readuntil(b"\n\n")).decode())


async def _begin_bulk(http: Http) -> Reply:
    await http.enqueue()
    return await http("POST", "/v1/groups/g/bulk", {"action": "cancel"})


async def _list_bulks(http: Http) -> Reply:
    await _begin_bulk(http)
    return await http("GET", "/v1/bulk")


async def _show_bulk(http: Http) -> Reply:
    return await http("GET", f"/v1/bulk/{(await _begin_bulk(http)).json['bulk']['id']}")


async def _stop_bulk(http: Http) -> Reply:
    return await http("DELETE", f"/v1/bulk/{(await _begin_bulk(http)).json['bulk']['id']}")


async def _doctor(http: Http) -> Reply:
    return await http("GET", "/v1/doctor")


async def _list_audit(http: Http) -> Reply:
    return await http("GET", "/v1/audit")


async def _show_settings(http: Http) -> Reply:
    return await http("GET", "/v1/settings")


async def _set_settings(http: Http) -> Reply:
    return await http("PUT", "/v1/settings", {"settings": {"order": "fair"}})


async def _healthz(http: Http) -> Reply:
    return await http("GET", "/healthz")


async def _readyz(http: Http) -> Reply:
    return await http("GET", "/readyz")


async def _metrics(http: Http) -> Reply:
    return await http("GET", "/metrics")


async def _stream_check(http: Http) -> Reply:
    return await http("GET", "/v1/stream-check")


async def _openapi(http: Http) -> Reply:
    return await http("GET", "/v1/openapi.json")


_WORKERS = (_announce, _list_workers, _show_worker, _order, _list_brokers)
_LOOKING = (_find, _history, _why, _why_group, _failures)
EXAMPLES: dict[str, Example] = {
    example.__name__[1:]: example
    for example in (
        *(
            _enqueue,
            _list_jobs,
            _show,
            _await_jobs,
            _remove,
            _inputs,
            _cancel,
            _retry,
            _promote,
            _next,
            _start,
            _touch,
            _succeed,
            _fail,
            _release,
            _wait,
        ),
        *_LOOKING,
        *(
            _log,
            _read_log,
            _finish,
            _touch_many,
            _list_groups,
            _show_group,
            _create_group,
            _configure,
            *(_listen, _show_scale, _show_group_scale),
            *(_show_stats, _show_group_stats, _show_overview, _watch),
            _adjust,
            _delete_group,
            *(_create_batch, _list_batches, _show_batch, _list_members),
            *(_add_to_batch, _close_batch, _cancel_batch, _retry_batch),
            _flow,
            *(_list_unique_keys, _show_unique_key, _free_unique_key, _list_keys),
            *SCHEDULE_EXAMPLES,
            *_WORKERS,
            _list_audit,
            _doctor,
            *(_show_settings, _set_settings),
            *(_begin_bulk, _list_bulks, _show_bulk, _stop_bulk),
            _healthz,
            _readyz,
            _metrics,
            _stream_check,
            _openapi,
        ),
    )
}

of_every_row = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.verb)


@of_every_row
async def test_route_in_use(http: Http, route: Route, backend: str) -> None:
    """Every row has an example that answers with the row's status and a body of the row's type."""
    if (route.verb, backend) == ("doctor", "fake"):
        pytest.skip("fakeredis has no INFO")
    reply = await EXAMPLES[route.verb](http)
    assert reply.status == route.status, reply
    if route.gives is str:
        assert reply.headers["Content-Type"].partition(";")[0] == route.text_type
    elif route.status == 204:
        assert reply.text == ""
    else:
        assert reply.headers["Content-Type"] == "application/json"
        msgspec.json.decode(reply.text, type=route.gives or dict)
    assert all(
        name in reply.headers for name in route.answers if name not in {"Idempotency-Replayed", "Titan-Group-Full"}
    )


@of_every_row
async def test_route_with_a_method_it_does_not_have(http: Http, route: Route) -> None:
    """HEAD, and any other method without a row, is a 405 that says in Allow what there is."""
    path = route.path.format(
        group_name="g", id=NO_JOB, worker="w", batch=NO_JOB, bulk=NO_JOB, unique_key="k", schedule="s"
    )
    allowed = {row.method for row in ROUTES if row.path == route.path}
    for method in {"HEAD", "GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"} - allowed:
        reply = await http(method, path)
        assert reply.status == 405, method
        assert set(reply.headers["Allow"].split(",")) == allowed
        if method != "HEAD":
            assert reply.problem.code == "method_not_allowed"


async def test_next_by_head_takes_no_job(http: Http) -> None:
    """HEAD /jobs hands nothing out."""
    await http.enqueue()
    assert (await http("HEAD", "/v1/jobs")).status == 405
    assert len((await http("GET", "/v1/jobs")).json["jobs"]) == 1


@pytest.mark.parametrize(
    "path", ["/v1", "/v2/jobs", "/v1/jobs/", "/v1//jobs", "/v1/groups/g/jobs/x/y/z", "/%2e%2e/v1/jobs", "/jobs"]
)
async def test_path_that_is_not_there(http: Http, path: str) -> None:
    """A path without a row is a 404 with the error body."""
    reply = await http("GET", path)
    assert (reply.status, reply.problem.code) == (404, "not_found")


def test_every_error_has_a_status() -> None:
    """Each class of the closed list of errors has a status, and no other has."""
    assert set(STATUS) == set(ERRORS)


def test_verbs_are_unique() -> None:
    """A row's handler is that row's alone, so that a verb leads to one place."""
    verbs = [route.verb for route in ROUTES]
    assert len(verbs) == len(set(verbs))
    assert set(EXAMPLES) == set(verbs)
