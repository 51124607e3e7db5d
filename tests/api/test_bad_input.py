"""What is wrong is a 4xx that names the field, and changes nothing."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from broker.core.settings import BrokerSettings
from broker.http.request import query_params
from tests.api.client import NO_JOB, Http, Reply

Snapshot = Callable[[], Awaitable[dict[bytes, Any]]]

JOBS = "/v1/groups/g/jobs"
JOB = f"{JOBS}/{{id}}"
DEEP = "[" * 100_000

NEW_JOB: list[tuple[str, Any]] = [
    ("image", 5),
    ("image", "x" * 256),
    ("image", "a\nb"),
    ("image", "a\x00b"),
    ("image", "\x7f"),
    ("image", "x\n"),
    ("image", ["i"]),
    ("payload", 5),
    ("payload", {}),
    ("payload", {"to": "ann"}),
    ("payload", ["ann"]),
    ("payload", True),
    ("delay", -1),
    ("delay", 31_536_001),
    ("delay", "5"),
    ("delay", 1.0),
    ("timeout", 0),
    ("timeout", 604_801),
    ("timeout", True),
    ("timeout", 10**30),
    ("priority", -1),
    ("priority", 3),
    ("priority", 1.5),
    ("max_retries", -1),
    ("max_retries", 26),
    ("max_retries", []),
    ("retries_delay", -1),
    ("retries_delay", 31_536_001),
    ("retries_delay", "60"),
    ("ref", ""),
    ("ref", "x" * 65),
    ("after", "x"),
    ("after", ["x"] * 101),
    ("after_on", "failed"),
    ("after_on", "over"),
]

TIES: list[tuple[str, dict[str, Any]]] = [
    ("after[0]", {"after": ["VbpLuuIC3BdKEe89"]}),
    ("unique.key", {"unique": {}}),
    ("unique.key", {"unique": {"key": ""}}),
    ("unique.key", {"unique": {"key": "x" * 256}}),
    ("unique.key", {"unique": {"key": "a\nb"}}),
    ("unique.until", {"unique": {"key": "k", "until": "failed"}}),
    ("unique.for", {"unique": {"key": "k", "for": 0}}),
    ("unique.on_conflict", {"unique": {"key": "k", "on_conflict": "wait"}}),
    ("unique.untill", {"unique": {"key": "k", "untill": "over"}}),
    ("unique.until", {"unique": {"key": "k", "until": "over", "for": 5}}),
    ("unique.max_wait", {"unique": {"key": "k", "max_wait": 5}}),
    ("after", {"after": ["0" * 16], "unique": {"key": "k", "on_conflict": "replace"}}),
    ("delay", {"unique": {"key": "k", "on_conflict": "push"}}),
    ("unique.max_wait", {"delay": 9, "unique": {"key": "k", "on_conflict": "push", "max_wait": 5}}),
]
"""Fields about other jobs, and what is wrong with them."""

GROUP: list[tuple[str, Any]] = [
    ("image", "x" * 256),
    ("image", 5),
    ("env_vars", []),
    ("env_vars", {"1A": "x"}),
    ("env_vars", {"A=B": "x"}),
    ("env_vars", {"A": 1}),
    ("env_vars", {"A": "x\x00"}),
    ("env_vars", {"A": "x" * 32_769}),
    ("env_vars", {f"A{n}": "" for n in range(101)}),
    ("max_concurrency", 0),
    ("max_concurrency", 1_000_001),
    ("max_concurrency", "1"),
    ("paused", 1),
    ("paused", "true"),
    ("delivery_limit", 0),
    ("delivery_limit", 1001),
    ("require_lease", "yes"),
    ("retention", 5),
    ("retention", {"failed": -1}),
    ("retention", {"succeeded": 315_360_001}),
    ("rate_limit", 0),
    ("rate_limit", 1_000_001),
    ("rate_limit", 1.5),
    ("rate_limit", "x"),
]

REPORTS: list[tuple[str, str, Any]] = [
    ("start", "started_at", "yesterday"),
    ("start", "started_at", 5),
    ("start", "lease", "x" * 65),
    ("touch", "lease", 5),
    ("success", "completed_at", "2026-11-23"),
    ("success", "completed_at", "2026-11-23T25:00:00Z"),
    ("success", "completed_at", "9999-12-31T23:59:59-23:59"),
    ("success", "completed_at", "0001-01-01T00:00:00+23:59"),
    ("success", "completed_at", "2026-11-23T10:00:00+24:00"),
    ("success", "completed_at", "٢٠٢٦-11-23T10:00:00Z"),
    ("success", "lease", []),
    ("success", "receipt", {"host": "a\nb"}),
    ("success", "receipt", {"signal": "\x7f"}),
    ("error", "reason", "x" * 257),
    ("error", "reason", 5),
    ("error", "error", "x" * 4097),
    ("error", "completed_at", "soon"),
    ("error", "lease", {}),
    ("release", "delay", -1),
    ("release", "delay", 31_536_001),
    ("release", "delay", "5"),
    ("release", "lease", "x" * 65),
]

QUERIES: list[tuple[str, str, str]] = [
    ("/v1/jobs", "n", "0"),
    ("/v1/jobs", "n", "1001"),
    ("/v1/jobs", "n", "-1"),
    ("/v1/jobs", "n", "1.0"),
    ("/v1/jobs", "n", "one"),
    ("/v1/jobs", "n", "1e2"),
    ("/v1/jobs", "n", "0x10"),
    ("/v1/jobs", "n", "9" * 5000),
    ("/v1/jobs", "n", "%D9%A1"),
    ("/v1/jobs", "n", "null"),
    ("/v1/jobs", "n", "1&n=2"),
    ("/v1/jobs", "wait", "-1"),
    ("/v1/jobs", "wait", "31"),
    ("/v1/jobs", "wait", "0.5"),
    ("/v1/jobs", "lease", "0"),
    ("/v1/jobs", "lease", "604801"),
    ("/v1/jobs", "group", "a%2Fb"),
    ("/v1/jobs", "group", "a&group=%00"),
    ("/v1/jobs", "group", "x" * 129),
    ("/v1/jobs", "group", "%ff"),
    ("/v1/jobs", "n", "%ff"),
    ("/v1/jobs", "group", "&group=".join(f"g{n}" for n in range(101))),
    (JOBS, "n", "0"),
    (JOBS, "n", "1001"),
    (JOBS, "created_after", "yesterday"),
    (JOBS, "created_after", "2026-13-01T00:00:00Z"),
    (JOBS, "cursor", "nonsense"),
    (JOBS, "cursor", "%F0%9F%98%80"),
    (JOBS, "cursor", "x" * 257),
    (JOBS, "status", "done"),
    (JOBS, "order", "up"),
    ("/v1/groups", "n", "0"),
    ("/v1/groups", "n", "1001"),
    ("/v1/groups", "cursor", "nonsense"),
    (f"{JOBS}/{NO_JOB}/log", "tail", "0"),
    (f"{JOBS}/{NO_JOB}/log", "tail", "-1"),
    (f"{JOBS}/{NO_JOB}/log", "tail", "all"),
]

BODIES: list[tuple[bytes, str]] = [
    (b"", "jobs"),
    (b"null", "jobs"),
    (b"{}", "jobs"),
    (b"[]", ""),
    (b"5", ""),
    (b"{", ""),
    (b"\xff", ""),
    (b"\xef\xbb\xbf{}", ""),
    (b'{"jobs":[{"image":"\xff"}]}', ""),
    (b'{"jobs":[{"image":"\\ud800"}]}', ""),
    (b'{"jobs":[{"payload":"\\udc00\\ud800"}]}', ""),
    (b'{"jobs":[{"image":"i","priority":NaN}]}', ""),
    (b'{"jobs":[{"image":"i","priority":Infinity}]}', ""),
    (b'{"jobs":[{"image":"i","priority":1e400}]}', "jobs[0].priority"),
    (b'{"jobs":[{"image":"i","timeout":1' + b"0" * 5000 + b"}]}", "jobs[0].timeout"),
    (b'{"jobs":[{"image":"i"}]} x', ""),
    (b'{"jobs":[{"image":"i"},]}', ""),
    (b"{'jobs':[]}", ""),
    (b'{"jobs":null}', "jobs"),
    (b'{"jobs":{}}', "jobs"),
    (b'{"jobs":[]}', "jobs"),
    (b'{"jobs":[' + b'{"image":"i"},' * 1000 + b'{"image":"i"}]}', "jobs"),
    (b'{"jobs":[null]}', "jobs[0]"),
    (b'{"jobs":[{"image":"i"},5]}', "jobs[1]"),
    (b'{"jobs":' + DEEP.encode(), "jobs[0]"),
    (b'{"cursor":' + DEEP.encode(), ""),
    (b'{"jobs":[{"image":"i","name":' + DEEP.replace("[", '{"a":').encode(), ""),
]


def _refused(reply: Reply, fields: str, status: int = 400, code: str = "invalid") -> None:
    assert (reply.status, reply.problem.code, reply.problem.fields) == (status, code, fields), reply


@pytest.mark.parametrize(("field", "value"), NEW_JOB)
async def test_enqueue_with_a_wrong_field(http: Http, snapshot: Snapshot, field: str, value: Any) -> None:
    """A field that is out of bounds or of the wrong type is named with its place, and none of the jobs is there."""
    await http.enqueue()
    before = await snapshot()
    reply = await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "i", field: value}]})
    _refused(reply, f"jobs[1].{field}")
    assert await snapshot() == before


@pytest.mark.parametrize(("field", "job"), TIES)
async def test_enqueue_with_wrong_ties(http: Http, snapshot: Snapshot, field: str, job: dict[str, Any]) -> None:
    """What is wrong about other jobs or a unique key is named with its place, and none of the jobs is there."""
    await http.enqueue()
    before = await snapshot()
    reply = await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "i", **job}]})
    _refused(reply, f"jobs[1].{field}")
    assert await snapshot() == before


async def test_enqueue_with_an_image_of_control_characters(http: Http) -> None:
    """An image with a control character is refused in the words of its other bounds."""
    reply = await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "a\x00b"}]})
    _refused(reply, "jobs[1].image")
    rule = "a text of at most 255 characters, none of them a control character"
    assert reply.problem.message == f"jobs[1].image must be {rule}."


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/jobs", "grp"),
        ("GET", JOBS, "state"),
        ("GET", f"{JOBS}/{NO_JOB}", "x"),
        ("POST", f"{JOBS}/{NO_JOB}/cancel", "force"),
        ("POST", f"{JOBS}/{NO_JOB}/success", "lease"),
        ("POST", f"{JOBS}/{NO_JOB}/error", "reasn"),
        ("POST", f"{JOBS}/{NO_JOB}/log", "mor"),
        ("GET", f"{JOBS}/{NO_JOB}/log", "tial"),
        ("POST", JOBS, "durabel"),
        ("POST", "/v1/jobs/finish", "n"),
        ("GET", "/v1/openapi.json", "v"),
        ("GET", "/v1/workers", "group"),
    ],
)
@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "aiohttp"])
async def test_query_with_an_unknown_word(
    http: Http, snapshot: Snapshot, method: str, path: str, name: str, is_plain: bool
) -> None:
    """A parameter that nobody knows is refused and named, whatever the route, and nothing is done."""
    await http.enqueue()
    before = await snapshot()
    way = {} if is_plain else {"Connection": "close"}
    body = {"jobs": [{"image": "i"}]} if path == JOBS and method == "POST" else None
    reply = await http(method, f"{path}?{name}=1", body, **way)
    _refused(reply, name)
    assert reply.problem.message.startswith(f"There is no parameter {name}; ")
    assert await snapshot() == before


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_query_of_a_probe(http: Http, path: str) -> None:
    """What asks for health or numbers may add parameters of its own."""
    assert (await http("GET", f"{path}?x=1")).status == 200


async def test_item_with_an_unknown_field(http: Http) -> None:
    """In a bulk report the item is refused by name, and the others are done; a whole job is a right item."""
    first, second = await http.running({}, {})
    items = [{**first, "status": "succeeded"}, {**second, "status": "failed", "reasn": "x"}]
    outcomes = (await http("POST", "/v1/jobs/finish", {"jobs": items})).json["jobs"]
    assert outcomes[0] == {"id": first["id"], "ok": True}
    assert (outcomes[1]["id"], outcomes[1]["error"]["fields"]) == (second["id"], "jobs[1].reasn")
    _refused(await http("POST", "/v1/jobs/finish", {"jobs": items, "job": 1}), "job")


@pytest.mark.parametrize(("body", "fields"), BODIES, ids=range(len(BODIES)))
async def test_enqueue_with_a_wrong_body(http: Http, snapshot: Snapshot, body: bytes, fields: str) -> None:
    """A body that is not JSON, or not of the right form, is refused whole."""
    before = await snapshot()
    _refused(await http("POST", JOBS, body, Content_Type="application/json"), fields)
    assert await snapshot() == before


async def test_enqueue_without_an_image(http: Http, snapshot: Snapshot) -> None:
    """A job needs an image when its group has none."""
    before = await snapshot()
    _refused(await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": ""}]}), "jobs[1].image")
    assert await snapshot() == before


@pytest.mark.parametrize(("field", "value"), GROUP)
async def test_configure_with_a_wrong_setting(http: Http, snapshot: Snapshot, field: str, value: Any) -> None:
    """A setting that is out of bounds or of the wrong type is named, and the group stays as it was."""
    await http.enqueue()
    before = await snapshot()
    reply = await http("PUT", "/v1/groups/g", {"group": {field: value}})
    _refused(reply, reply.problem.fields)
    assert reply.problem.fields.startswith(f"group.{field}")
    assert await snapshot() == before


async def test_configure_without_a_group(http: Http) -> None:
    """PUT without its body names what is missing."""
    _refused(await http("PUT", "/v1/groups/g"), "group")


@pytest.mark.parametrize(("verb", "field", "value"), REPORTS)
async def test_report_with_a_wrong_field(http: Http, snapshot: Snapshot, verb: str, field: str, value: Any) -> None:
    """A report with a wrong field is refused and names it; the job stays as it was."""
    [job] = await http.running()
    before = await snapshot()
    reply = await http("POST", f"{JOBS}/{job['id']}/{verb}", {field: value})
    _refused(reply, reply.problem.fields)
    assert reply.problem.fields.partition(".")[0] == field
    assert await snapshot() == before


@pytest.mark.parametrize("verb", ["start", "touch", "success", "error", "release"])
async def test_report_with_a_wrong_body(http: Http, snapshot: Snapshot, verb: str) -> None:
    """A report's body is an object or nothing."""
    [job] = await http.running()
    before = await snapshot()
    for body in (b"[]", b"5", b'"x"', b"{", b"\xff", b'{"lease":NaN}', b'{"id":' + DEEP.encode()):
        _refused(await http("POST", f"{JOBS}/{job['id']}/{verb}", body), "")
    assert await snapshot() == before


@pytest.mark.parametrize(("path", "name", "value"), QUERIES, ids=range(len(QUERIES)))
async def test_query_that_is_wrong(http: Http, snapshot: Snapshot, path: str, name: str, value: str) -> None:
    """A parameter that is out of bounds, of the wrong type or given twice is named; no job is handed out."""
    await http.enqueue()
    before = await snapshot()
    _refused(await http("GET", f"{path}?{name}={value}"), name)
    assert await snapshot() == before


@pytest.mark.parametrize("name", ["reason", "error", "completed_at", "lease"])
@pytest.mark.parametrize("twice", ["{0}=a&{0}=b", "{0}=" + "x" * 5000])
async def test_fail_by_a_wrong_query_or_form(http: Http, snapshot: Snapshot, name: str, twice: str) -> None:
    """The query and the form of fail have the bounds of its JSON body."""
    [job] = await http.running()
    path = f"{JOBS}/{job['id']}/error"
    before = await snapshot()
    _refused(await http("POST", f"{path}?{twice.format(name)}"), name)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    _refused(await http("POST", path, twice.format(name), **form), name)
    assert await snapshot() == before


@pytest.mark.parametrize("body", [b"reason=%ff", b"\xff", b"&".join(b"f%d=1" % n for n in range(100))])
async def test_fail_by_a_broken_form(http: Http, snapshot: Snapshot, body: bytes) -> None:
    """A form that is not UTF-8, or has too many fields, is refused."""
    [job] = await http.running()
    before = await snapshot()
    reply = await http("POST", f"{JOBS}/{job['id']}/error", body, Content_Type="application/x-www-form-urlencoded")
    _refused(reply, "")
    assert await snapshot() == before


HOSTILE_NAMES = [
    *("%00", "a%00", "%0d%0aX:1", "..", ".", "%2e%2e", "a%2Fb", "%2567", "*", "g%3Ajob", "%7B0%7D", "{0}", "a%20b"),
    *("g%0a", "%ff", "%F0%9F%98%80", "x" * 129, "%", "%zz", "a+b", "a;b", "a'--", "%C3%A9", "g%5B%5D", "$(x)"),
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_group_name_that_is_hostile(http: Http, snapshot: Snapshot, name: str) -> None:
    """A group's name that breaks the rule is a 400, wherever it stands."""
    before = await snapshot()
    _refused(await http("POST", f"/v1/groups/{name}/jobs", {"jobs": [{"image": "i"}]}), "group_name")
    _refused(await http("GET", f"/v1/groups/{name}/jobs"), "group_name")
    _refused(await http("PUT", f"/v1/groups/{name}", {"group": {}}), "group_name")
    _refused(await http("POST", f"/v1/groups/{name}/jobs/{NO_JOB}/touch"), "group_name")
    assert await snapshot() == before


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "0" * 15, "0" * 17, "0" * 15 + "-", "0" * 15 + "_", "0" * 15 + "%0A"])
async def test_id_that_is_hostile(http: Http, name: str) -> None:
    """What cannot be an id is a job that does not exist."""
    await http.enqueue()
    for method, verb in [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/success"), ("GET", "/log")]:
        _refused(await http(method, f"{JOBS}/{name}{verb}"), "", 404, "not_found")


@pytest.mark.parametrize(
    "verb", ["", "/cancel", "/retry", "/promote", "/start", "/touch", "/success", "/error", "/release", "/log"]
)
async def test_verb_on_a_job_of_another_group(http: Http, snapshot: Snapshot, verb: str) -> None:
    """A job is found in its own group only."""
    [job] = await http.running(group="other")
    before = await snapshot()
    for method in {"": ["GET", "DELETE"], "/log": ["GET", "POST"]}.get(verb, ["POST"]):
        _refused(await http(method, f"{JOBS}/{job['id']}{verb}"), "", 404, "not_found")
    assert await snapshot() == before


@pytest.mark.parametrize("token", ["x" * 65, "é", "a\tb"])
async def test_lease_header_that_is_hostile(http: Http, snapshot: Snapshot, token: str) -> None:
    """A Titan-Lease that cannot be a token is a 400."""
    [job] = await http.running()
    before = await snapshot()
    _refused(await http("POST", f"{JOBS}/{job['id']}/touch", Titan_Lease=token), "lease")
    assert await snapshot() == before


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
async def test_enqueue_with_a_hostile_idempotency_key(http: Http, snapshot: Snapshot, key: str) -> None:
    """An Idempotency-Key has 1 to 255 printable ASCII characters."""
    before = await snapshot()
    reply = await http("POST", JOBS, {"jobs": [{"image": "i"}]}, Idempotency_Key=key)
    _refused(reply, "Idempotency-Key")
    assert await snapshot() == before


@pytest.mark.parametrize("payload", [{"to": "ann"}, ["ann"], 5, 0.5, True])
async def test_enqueue_with_a_payload_that_is_no_text(http: Http, payload: Any) -> None:
    """The message says how to send such a payload, and the example in it is accepted."""
    reply = await http("POST", JOBS, {"jobs": [{"image": "i"}, {"image": "i", "payload": payload}]})
    assert reply.status == 400
    assert reply.problem.fields == "jobs[1].payload"
    rule = "send an object, a list, a number, true or false as its JSON text, such as "
    sentence, _, shown = reply.problem.message.partition(rule)
    assert sentence == "jobs[1].payload must be a text: "
    job = json.loads(f"{{{shown.removesuffix('.')}}}")
    assert json.loads(job["payload"]) == {"to": "ann"}
    assert (await http("POST", JOBS, {"jobs": [{"image": "i", **job}]})).status == 201


@pytest.mark.parametrize("settings", [BrokerSettings(max_payload_bytes=100, key_prefix="small")])
@pytest.mark.parametrize(
    ("payload", "is_right"), [("x" * 100, True), ("x" * 101, False), ("é" * 50, True), ("é" * 51, False)]
)
async def test_enqueue_with_a_large_payload(http: Http, payload: str, is_right: bool) -> None:
    """A payload's limit counts its bytes as UTF-8."""
    reply = await http("POST", JOBS, json.dumps({"jobs": [{"image": "i"}, {"image": "i", "payload": payload}]}))
    assert reply.status == (201 if is_right else 400)
    if not is_right:
        assert reply.problem.fields == "jobs[1].payload"


@pytest.mark.parametrize("raw", [b"\xff", "é".encode()])
async def test_query_with_raw_bytes(http: Http, raw: bytes) -> None:
    """Bytes in a query that are not ASCII are refused, not handed on."""
    [job] = await http.running()
    path = f"{JOBS}/{job['id']}/error".encode()
    answer = await http.raw(
        b"POST " + path + b"?reason=" + raw + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b'"code":"invalid"' in answer


@pytest.mark.parametrize("encoded", ["%ff", "%ED%A0%80", "%C3"])
async def test_query_that_is_not_utf8(http: Http, snapshot: Snapshot, encoded: str) -> None:
    """A parameter that is not UTF-8 is refused and named."""
    [job] = await http.running()
    before = await snapshot()
    _refused(await http("POST", f"{JOBS}/{job['id']}/error?reason={encoded}"), "reason")
    assert await snapshot() == before


async def test_query_that_is_endless(http: Http) -> None:
    """A query has no more parameters than the limit."""
    _refused(await http("GET", "/v1/jobs?" + "&".join(f"a{n}=1" for n in range(query_params.MAX_PARAMETERS + 1))), "")
