"""An example of each call in curl, Python and JavaScript.

`JOB_ID`, `OTHER_ID`, `LEASE`, `BATCH_ID`, `BULK_ID` and `ETAG` in an example are names that its reader replaces, as the
test does.
"""

import json
from typing import Any, NamedTuple

WIDTH = 95
"""The longest line of a command, in letters, unless a part is longer."""
BROKER = "http://127.0.0.1:8080"
_FILTER = {"reason": "bad_exit", "dry_run": True}


class Example(NamedTuple):
    """What the example of a call sends. `needs` is the status that its job must have; '' for a call without a job."""

    body: Any = None
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    needs: str = ""
    is_endless: bool = False


_LEASE = (("Titan-Lease", "LEASE"),)
EXAMPLES: dict[str, Example] = {
    "enqueue": Example(
        {"jobs": [{"image": "send", "payload": "to: ann", "max_retries": 3, "retries_delay": 60}]},
        headers=(("Idempotency-Key", "order-7"),),
    ),
    "list_jobs": Example(query="status=failed&n=20", needs="failed"),
    "show": Example(needs="queued"),
    "await_jobs": Example({"jobs": [{"group_name": "mail", "id": "JOB_ID"}], "wait": 20}, needs="succeeded"),
    "inputs": Example(needs="queued"),
    "remove": Example(needs="succeeded"),
    "cancel": Example(needs="queued"),
    "retry": Example(needs="failed"),
    "promote": Example(needs="delayed"),
    "create_batch": Example(
        {"batch": {"jobs": [{"image": "send"}], "open": True, "on_over": {"image": "report"}}},
        headers=(("Idempotency-Key", "batch-7"),),
    ),
    "list_batches": Example(needs="batch"),
    "show_batch": Example(query="wait=1", needs="batch"),
    "list_members": Example(query="status=queued", needs="batch"),
    "add_to_batch": Example({"jobs": [{"image": "send"}]}, needs="batch"),
    "close_batch": Example(needs="batch"),
    "cancel_batch": Example(needs="batch"),
    "retry_batch": Example(needs="failed batch"),
    "list_keys": Example(needs="key"),
    "list_unique_keys": Example(needs="unique key"),
    "show_unique_key": Example(needs="unique key"),
    "free_unique_key": Example(needs="unique key"),
    "list_schedules": Example(needs="schedule"),
    "put_schedule": Example(
        {
            "schedule": {
                "cron": "30 7 * * 1-5",
                "zone": "Europe/Berlin",
                "overlap": "queue",
                "job": {"image": "digest"},
            }
        }
    ),
    "show_schedule": Example(needs="schedule"),
    "remove_schedule": Example(needs="schedule"),
    "next_times": Example(query="n=3", needs="schedule"),
    "list_fires": Example(query="n=20", needs="schedule"),
    "pause_schedule": Example({"note": "provider down"}, needs="schedule"),
    "resume_schedule": Example(needs="schedule"),
    "run_schedule": Example({"overlap": "allow"}, needs="schedule"),
    "backfill_schedule": Example({"from": "2026-01-01T00:00:00Z", "to": "2026-01-07T23:59:59Z"}, needs="schedule"),
    "preview_schedule": Example(
        {"schedule": {"cron": "30 2 * * *", "zone": "Europe/Berlin", "job": {"image": "backup"}}},
        query="n=3&from=2027-03-27T00:00:00Z",
    ),
    "find": Example(needs="queued"),
    "why": Example(needs="queued"),
    "flow": Example(needs="queued"),
    "history": Example(needs="failed"),
    "log": Example("hello\nworld\n", needs="succeeded"),
    "read_log": Example(query="tail=20", needs="logged"),
    "next": Example(query="group=mail&wait=20", needs="queued"),
    "start": Example(headers=_LEASE, needs="running"),
    "touch": Example(headers=_LEASE, needs="running"),
    "succeed": Example(headers=_LEASE, needs="running"),
    "fail": Example(
        {"reason": "no_such_host", "error": "mail.example.org is not known"}, headers=_LEASE, needs="running"
    ),
    "release": Example({"delay": 30}, headers=_LEASE, needs="running"),
    "wait": Example({"after": ["OTHER_ID"]}, headers=_LEASE, needs="running"),
    "finish": Example(
        {"jobs": [{"group_name": "mail", "id": "JOB_ID", "status": "succeeded", "lease": "LEASE"}]}, needs="running"
    ),
    "touch_many": Example({"jobs": [{"group_name": "mail", "id": "JOB_ID", "lease": "LEASE"}]}, needs="running"),
    "create_group": Example({"group": {"name": "mail", "image": "send"}}),
    "configure": Example({"group": {"image": "send", "max_concurrency": 10, "rate_limit": 50}}),
    "adjust": Example(
        {"group": {"paused": True, "note": "provider down"}}, headers=(("If-Match", "ETAG"),), needs="etag"
    ),
    "delete_group": Example(needs="finished group"),
    "show_group": Example(needs="queued"),
    "failures": Example(needs="failed"),
    "why_group": Example(needs="queued"),
    "show_group_stats": Example(query="window=1h", needs="queued"),
    "show_group_scale": Example(query="per_worker=8", needs="queued"),
    "show_scale": Example(query="group=mail&group=post"),
    "begin_bulk": Example({"action": "retry", **_FILTER}, needs="failed"),
    "show_bulk": Example(needs="bulk"),
    "stop_bulk": Example(needs="bulk"),
    "show_worker": Example(needs="worker"),
    "order": Example({"order": "quiet"}, needs="worker"),
    "announce": Example({"name": "w-1", "host": "host-a"}),
    "show_overview": Example(query="sort=oldest&n=20"),
    "show_stats": Example(query="window=24h"),
    "list_audit": Example(query="n=20"),
    "set_settings": Example({"settings": {"order": "fair"}}),
    "listen": Example(query="group=mail&kind=failed", is_endless=True),
    "watch": Example(query="view=overview", is_endless=True),
}
"""The examples by operation. A call that needs nothing is not in it."""


def snippets(method: str, path: str, example: Example, content_type: str, gives: str) -> str:
    """The blocks of an example. `gives` is the type of the answer: json, text or nothing."""
    address = _address(path, example.query)
    headers = dict(example.headers) | ({"Content-Type": content_type} if example.body is not None else {})
    languages = (
        ("sh", _curl(method, address, headers, example)),
        ("python", _python(method, address, headers, example, gives)),
        ("javascript", _javascript(method, address, headers, example, gives)),
    )
    return "".join(f"```{name} choice\n{text}\n```\n" for name, text in languages)


def _address(path: str, query: str) -> str:
    names = {
        "group_name": "mail",
        "id": "JOB_ID",
        "worker": "w-1",
        "batch": "BATCH_ID",
        "bulk": "BULK_ID",
        "unique_key": "doc-7",
        "schedule": "digest",
    }
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    return f"{BROKER}{path}" + (f"?{query}" if query else "")


def _text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def _curl(method: str, address: str, headers: dict[str, str], example: Example) -> str:
    parts = ["curl -s", f"-X {method}" if method != "GET" else "", _quoted(address)]
    parts[0] += "N" if example.is_endless else ""
    parts += [f"-H {_quoted(f'{name}: {value}')}" for name, value in headers.items()]
    if example.body is not None:
        parts.append(f"{'--data-binary' if isinstance(example.body, str) else '-d'} {_quoted(_text(example.body))}")
    given = [part for part in parts if part]
    line = " ".join(given) + (" | head -n 3" if example.is_endless else "")
    return line if len(line) < WIDTH else " \\\n  ".join([" ".join(given[:3]), *given[3:]])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _python(method: str, address: str, headers: dict[str, str], example: Example, gives: str) -> str:
    arguments = [f'"{address}"', f'method="{method}"']
    if headers:
        arguments.append(f"headers={json.dumps(headers)}")
    if example.body is not None:
        data = json.dumps(example.body) if isinstance(example.body, str) else f"json.dumps({_literal(example.body)})"
        arguments.append(f"data={data}.encode()")
    inner = ",\n    ".join(arguments)
    shown = {
        "json": "print(json.load(answer))",
        "text": "print(answer.read().decode())",
        "nothing": "print(answer.status)",
    }[gives]
    if example.is_endless:
        shown = "print(answer.readline().decode())"
    is_json = "json." in inner or "json." in shown
    return "\n".join(
        [
            *(["import json"] if is_json else []),
            "from urllib.request import Request, urlopen",
            "",
            f"request = Request(\n    {inner},\n)",
            "with urlopen(request) as answer:",
            f"    {shown}",
        ]
    )


def _literal(value: Any) -> str:
    """A value of JSON as Python writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return str(value) if isinstance(value, bool) else json.dumps(value)


def _javascript(method: str, address: str, headers: dict[str, str], example: Example, gives: str) -> str:
    options = [f"method: '{method}'"] if method != "GET" else []
    if headers:
        options.append(f"headers: {json.dumps(headers)}")
    if isinstance(example.body, str):
        options.append(f"body: {json.dumps(example.body)}")
    elif example.body is not None:
        options.append(f"body: JSON.stringify({json.dumps(example.body)})")
    given = ", {\n  " + ",\n  ".join(options) + ",\n}" if options else ""
    shown = {"json": "await answer.json()", "text": "await answer.text()", "nothing": "answer.status"}[gives]
    if example.is_endless:
        shown = "new TextDecoder().decode((await answer.body.getReader().read()).value)"
    last = "\nprocess.exit();" if example.is_endless else ""
    return f"const answer = await fetch('{address}'{given});\nconsole.log({shown});{last}"
