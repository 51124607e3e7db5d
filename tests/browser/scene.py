"""What the pages show in their tests: groups, jobs in every status with what belongs to them, and a worker."""

import json
import time
import urllib.request
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TOKENS: dict[str, str] = {}
"""The token that calls to a broker show, by its host and port."""


class Scene(NamedTuple):
    """A broker with jobs in the group `mail`: their ids by status, and that of a `bulk`."""

    url: str
    ids: dict[str, str]

    def announce(self) -> None:
        """Announce the worker, which is forgotten after a minute."""
        running = [self.ids["running"]]
        call(f"{self.url}/v1/workers", {"name": "w-1", "host": "host-b", "slots": 8, "busy": 1, "running": running})


def call(url: str, body: object = None, method: str = "POST", *, text: str = "") -> Any:
    """The decoded answer to a JSON body or a text; raises HTTPError."""
    content = text.encode() if text else json.dumps(body).encode()
    headers = {"Content-Type": "text/plain" if text else "application/json"}
    if token := _TOKENS.get(urlsplit(url).netloc):
        headers["Authorization"] = f"Bearer {token}"
    data = None if method == "GET" else content
    request = urllib.request.Request(url, data, headers, method=method)
    with _DIRECT.open(request, timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def read(url: str) -> Any:
    """The decoded answer to a GET."""
    return call(url, method="GET")


def enqueue(url: str, *jobs: dict[str, Any], group: str = "mail") -> list[str]:
    """New jobs; their ids."""
    body = {"jobs": [{"image": "send", **job} for job in jobs]}
    return [job["id"] for job in call(f"{url}/v1/groups/{group}/jobs", body)["jobs"]]


def take(url: str, group: str = "mail") -> dict[str, Any]:
    """The next job of a group."""
    [job] = read(f"{url}/v1/jobs?group={group}")["jobs"]
    return dict(job)


def end(url: str, job: dict[str, Any], verb: str, body: object = None) -> str:
    """Report the end of a job; its id."""
    call(f"{url}/v1/groups/{job['group_name']}/jobs/{job['id']}/{verb}", {"lease": job["lease"], **dict(body or {})})
    return str(job["id"])


def fail(url: str, group: str, *errors: str) -> list[str]:
    """New jobs that failed with these errors; their ids."""
    enqueue(url, *[{} for _ in errors], group=group)
    return [end(url, take(url, group), "error", {"reason": "bad_exit", "error": error}) for error in errors]


def fill(url: str, token: str = "") -> Scene:
    """Make jobs in every status in the group `mail`, a paused group, a dry run and a worker."""
    _TOKENS[urlsplit(url).netloc] = token
    ids = {}
    enqueue(url, *[{"payload": json.dumps({"to": f"ann-{n}", "n": n}), "timeout": 3600} for n in range(4)])
    ids["succeeded"] = end(url, take(url), "success")
    failed = take(url)
    call(f"{url}/v1/groups/mail/jobs/{failed['id']}/log", text="first line\n\x1b[31mred\x1b[0m\nlast line\n")
    receipt = {"worker": "w-1", "host": "host-b", "exit_code": 1, "cpu_ms": 120, "max_rss_bytes": 81_000_000}
    report = {"reason": "bad_exit", "error": "smtp: 550 no such user 42", "receipt": receipt}
    ids["failed"] = end(url, failed, "error", report)
    ids["cancelled"] = take(url)["id"]
    call(f"{url}/v1/groups/mail/jobs/{ids['cancelled']}/cancel", {})
    ids["running"] = take(url)["id"]
    [ids["delayed"]] = enqueue(url, {"delay": 3000})
    [ids["queued"], *_] = enqueue(url, *[{"payload": "plain text", "priority": 1}] * 60)
    ids |= _flow(url) | _batch(url)
    digest = {"cron": "30 7 * * 1-5", "zone": "Europe/Berlin", "job": {"image": "digest"}}
    call(f"{url}/v1/groups/mail/schedules/digest", {"schedule": digest}, "PUT")
    call(f"{url}/v1/groups/reports", {"group": {"paused": True, "env_vars": {"LEVEL": "debug"}}}, "PUT")
    enqueue(url, {"image": "render"}, group="reports")
    dry = call(f"{url}/v1/groups/mail/bulk", {"action": "promote", "status": ["delayed"], "dry_run": True})["bulk"]
    ids["bulk"] = dry["id"]
    until(lambda: read(f"{url}/v1/bulk/{dry['id']}")["bulk"]["state"] == "done")
    made = Scene(url, ids)
    made.announce()
    return made


def _flow(url: str) -> dict[str, str]:
    """Jobs of the group `docs` that wait for each other, in every status, and a unique key with a follower."""
    jobs = [
        {"ref": "pull", "image": "pull", "timeout": 3600},
        {"ref": "thumb", "image": "thumb", "after": ["pull"], "timeout": 3600},
        {"ref": "text", "image": "text", "after": ["pull"]},
        {"ref": "index", "image": "index", "after": ["text"]},
        {"ref": "publish", "image": "publish", "after": ["thumb", "index"]},
        {"image": "tidy", "after": ["publish", "index"], "after_on": "over"},
    ]
    ids = dict(zip(("pull", "thumb", "text", "index", "held", "tidy"), enqueue(url, *jobs, group="docs"), strict=True))
    end(url, take(url, "docs"), "success")
    until(lambda: read(f"{url}/v1/groups/docs")["group"]["counts"]["queued"] == 2)
    ids["thumb_running"] = take(url, "docs")["id"]
    for name in ("holder", "follower"):
        unique = {"key": "doc-7", "on_conflict": "follow"}
        [ids[name]] = enqueue(url, {"image": name, "unique": unique, "delay": 3000}, group="docs")
    return ids


def _batch(url: str) -> dict[str, str]:
    """A batch of the group `scans`: one member succeeded, one failed, one runs and one is queued."""
    new = {
        "name": "night",
        "jobs": [{"image": "scan", "timeout": 3600}] * 4,
        "on_failed": {"image": "warn", "delay": 3000},
    }
    batch = call(f"{url}/v1/groups/scans/batches", {"batch": new})["batch"]
    end(url, take(url, "scans"), "success", {"result": {"pages": 3}})
    end(url, take(url, "scans"), "error", {"reason": "bad_exit", "error": "no paper"})
    take(url, "scans")
    until(lambda: read(f"{url}/v1/groups/scans/batches/{batch['id']}")["batch"]["callbacks"])
    return {"batch": batch["id"]}


def until(holds: Any, limit_s: float = 10.0) -> None:
    """Wait for what a program does by itself."""
    end_at = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_at, "it did not happen in time"
        time.sleep(0.05)
