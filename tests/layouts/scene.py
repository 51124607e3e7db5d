"""Fills a store over HTTP with everything that a store can hold, and writes down all its keys.

`python -m tests.layouts.scene BROKER_URL REDIS_URL > tests/layouts/N.ndjson` makes the dump of the layout that the
broker writes. The store must be empty before, and the broker must run with `--no-reaper`.
"""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

from redis import Redis

DECADES_S = 10 * 365 * 86_400
"""Finished jobs of a dump outlive the test that uses it."""
LARGE = "x" * 300_000
"""A payload that is sent to the store before its script, when there are some of them."""


def call(url: str, method: str, path: str, body: object = None, **headers: str) -> Any:
    """The decoded answer; None for an empty one."""
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    kind = "text/plain" if isinstance(body, bytes) else "application/json"
    named = {"Content-Type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{url}/v1{path}", content, named, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def fill(url: str) -> None:
    """Make groups with every setting, and jobs in every status with every field."""
    retention = dict.fromkeys(("succeeded", "failed", "cancelled"), DECADES_S)
    settings = {
        "plain": {},
        "all": {
            "image": "default",
            "env_vars": {"ANSWER": "42", "GREETING": "grüß dich"},
            "max_concurrency": 100,
            "rate_limit": 1000,
            "delivery_limit": 3,
            "require_lease": True,
            "retry": {"max": 2, "except": ["timeout"]},
        },
        "paused": {"paused": True},
    }
    for group, given in settings.items():
        call(url, "PUT", f"/groups/{group}", {"group": {**given, "retention": retention}})
        _fill_group(url, group)
    call(url, "POST", "/workers", {"name": "a-worker", "host": "here", "slots": 2, "busy": 1})


def _fill_group(url: str, group: str) -> None:
    path = f"/groups/{group}/jobs"
    image = {} if group == "all" else {"image": "resize"}
    call(url, "PUT", f"/groups/{group}", _unpaused(url, group))
    jobs = [{**image, "payload": payload, "max_retries": 1, "retries_delay": 100_000} for payload in "abcdefghi"]
    call(url, "POST", path, {"jobs": jobs}, Idempotency_Key="once")
    taken = call(url, "GET", f"/jobs?n=7&group={group}&lease=3600")["jobs"]
    succeeded, failed, released, cancelled, removed, touched, _running = taken
    receipt = {"worker": "a-worker", "host": "here", "exit_code": 0, "run_ms": 12, "log_bytes": 3}
    finish = {"group_name": group, "id": succeeded["id"], "lease": succeeded["lease"], "status": "succeeded"}
    call(url, "POST", "/jobs/finish", {"jobs": [{**finish, "receipt": receipt}]})
    call(
        url, "POST", f"{path}/{failed['id']}/error", {"reason": "bad_exit", "error": "line 1\nline 2"}, **_held(failed)
    )
    call(url, "POST", f"{path}/{released['id']}/release", {"delay": 100_000}, **_held(released))
    call(url, "POST", f"{path}/{cancelled['id']}/cancel")
    call(url, "POST", f"{path}/{cancelled['id']}/retry")
    call(url, "POST", f"{path}/{succeeded['id']}/log", b"out", **_held(succeeded))
    call(url, "POST", f"{path}/{removed['id']}/success", **_held(removed))
    call(url, "POST", f"{path}/{removed['id']}/log", b"out")
    call(url, "DELETE", f"{path}/{removed['id']}")
    call(url, "POST", f"{path}/{touched['id']}/touch", **_held(touched))
    _fill_with_policies(url, path, image)
    more = [{"image": "large", "payload": LARGE, "priority": 2}] * 4 + [{"image": "later", "delay": 100_000}]
    call(url, "POST", path, {"jobs": more})
    if group == "paused":
        call(url, "PUT", f"/groups/{group}", _unpaused(url, group, paused=True))


def _fill_with_policies(url: str, path: str, image: dict[str, str]) -> None:
    """A job that failed under a policy and waits for its next try."""
    policy = {"max": 9, "delay": 100_000, "cap": 200_000, "jitter": 0, "except": ["bad_input", "auth_*"]}
    body = {"jobs": [{**image, "priority": 2, "retry": policy}]}
    [job] = call(url, "POST", path, body)["jobs"]
    group = job["group_name"]
    [taken] = call(url, "GET", f"/jobs?n=1&group={group}&lease=3600")["jobs"]
    call(url, "POST", f"{path}/{taken['id']}/error", {"reason": "busy"}, **_held(taken))


def _held(job: dict[str, Any]) -> dict[str, str]:
    return {"Titan_Lease": job["lease"]}


def _unpaused(url: str, group: str, *, paused: bool = False) -> dict[str, Any]:
    return {"group": call(url, "GET", f"/groups/{group}")["group"] | {"paused": paused}}


def jobs_of(url: str) -> dict[str, dict[str, str]]:
    """The status of each job, by group and id."""
    names = [group["name"] for group in call(url, "GET", "/groups")["groups"]]
    return {
        name: {job["id"]: job["status"] for job in call(url, "GET", f"/groups/{name}/jobs?n=1000")["jobs"]}
        for name in names
    }


def values(redis: Redis) -> list[dict[str, Any]]:
    """Every key with its type, value and time to live; bytes are written as Latin-1, and LARGE is cut short."""
    rows = []
    for key in sorted(redis.scan_iter("titan*", 1000)):
        kind = redis.type(key).decode()
        rows.append({"key": _text(key), "type": kind, "value": _VALUES[kind](redis, key), "pttl": redis.pttl(key)})
    return rows


def load(redis: Redis, rows: list[dict[str, Any]]) -> None:
    """Write the keys of a dump. What expires gets a day."""
    for row in rows:
        key, value = _bytes(row["key"]), row["value"]
        if row["type"] == "string":
            redis.set(key, _bytes(value))
        elif row["type"] == "hash":
            redis.hset(key, mapping={_bytes(field): _bytes(text) for field, text in value.items()})
        elif row["type"] == "zset":
            redis.zadd(key, {_bytes(member): score for member, score in value.items()})
        elif row["type"] != "stream":  # the audit, of which a dump has the length alone
            raise ValueError(f"{row['key']} is a {row['type']}")
        if row["pttl"] >= 0:
            redis.expire(key, 86_400)


_VALUES: dict[str, Any] = {
    "string": lambda redis, key: _text(redis.get(key)),
    "stream": lambda redis, key: redis.xlen(key),
    "hash": lambda redis, key: {_text(field): _text(text) for field, text in sorted(redis.hgetall(key).items())},
    "zset": lambda redis, key: {_text(member): score for member, score in redis.zrange(key, 0, -1, withscores=True)},
}


def _text(content: bytes) -> str:
    return content.decode("latin-1").replace(LARGE, "x" * 50)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def main(url: str, redis_url: str) -> None:
    """Fill the store and print its dump: a line about it, then a line for each key."""
    fill(url)
    jobs = jobs_of(url)
    with Redis.from_url(redis_url) as redis:
        seconds, _ = redis.time()
        print(json.dumps({"made_at_ms": seconds * 1000, "jobs": jobs}))
        for row in values(redis):
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
