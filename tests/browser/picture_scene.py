"""A broker with a day's work, for pictures: groups whose names people know, workers, and failures with a few causes."""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from broker.resp.script_source import SCRIPTS
from broker.store.failures import cause_of
from broker.store.group_counts import TAKEN
from tests.browser.scene import call, enqueue
from tests.deploy.brokers import ask, eventually, serving

SEED = 7
LIMIT_S = 60.0
P = "titan:{0}"
SEND = """read -r job
echo "connecting to mx1.example.net:587"
case $job in
  *gone*) echo "smtp: 550 no such user '$job'"; exit 67 ;;
  *full*) echo "smtp: 452 the mailbox is full"; exit 75 ;;
  *slow*) sleep 600 ;;
  *template*) echo "no template 'spring-sale' in templates/"; exit 66 ;;
esac
echo "250 accepted"
"""
RESIZE = """for size in 64 256 1024; do echo "resized to $size px"; sleep 2; done; sleep 60"""
POST, MEDIA = ("mail",), ("thumbnails",)
FULL = cause_of("bad_exit", "exit code 75: smtp: 452 the mailbox is full")
NO_TEMPLATE = cause_of("bad_exit", "exit code 66: no template 'spring-sale' in templates/")
"""Two causes of failures of SEND."""


class PictureScene(NamedTuple):
    """A broker, and the ids that pictures need."""

    url: str
    failed: str
    waiting: str


class _Flow(NamedTuple):
    """What happened to a group in the last day: jobs a minute, failures in 1,000 jobs, and times as buckets."""

    group: str
    per_minute: int
    failed: int
    waits: str
    runs: str


_FLOWS = (
    _Flow("mail", 240, 21, f"2:60 3:120 4:40 5:15 6:5 {TAKEN}:240", f"4:90 5:110 6:35 7:5 {TAKEN}:240"),
    _Flow("thumbnails", 95, 3, f"5:20 6:40 7:25 8:10 {TAKEN}:95", f"8:30 9:45 10:20 {TAKEN}:95"),
    _Flow("invoices", 12, 0, f"3:6 4:6 {TAKEN}:12", f"7:8 8:4 {TAKEN}:12"),
    _Flow("webhooks", 160, 6, f"1:80 2:60 3:20 {TAKEN}:160", f"4:70 5:60 6:30 {TAKEN}:160"),
)


@contextlib.contextmanager
def picture_scene(folder: Path) -> Iterator[PictureScene]:
    """The scene, while the block runs."""
    with serving(folder) as url, _workers(url, folder):
        _history(folder)
        _settings(url)
        failed = _failures(url)
        waiting = _waiting(url)
        if not eventually(lambda: _count(url, "thumbnails", "running") == 3, LIMIT_S):
            raise TimeoutError("the worker did not take the jobs of thumbnails")
        _bulks(url)
        yield PictureScene(url, failed, waiting)


@contextlib.contextmanager
def _workers(url: str, folder: Path) -> Iterator[None]:
    """Two workers of `titan worker`."""
    runs = (("post-1", POST, 4, "send", SEND), ("media-1", MEDIA, 3, "resize", RESIZE))
    started = []
    for name, groups, slots, image, script in runs:
        path = folder / f"{image}.sh"
        path.write_text(script)
        words = [word for group in groups for word in ("--group", group)]
        command = [sys.executable, "-m", "broker", "worker", "--broker-url", url, "--name", name, *words]
        command += ["--concurrency", str(slots), "--run", f"{image}=sh {path}", "--grace-s", "0"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TITAN_")}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
    try:
        yield
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait(30)


def _history(folder: Path) -> None:
    """What brokers would have counted in the last day, minute by minute, by the script that they use."""
    chance, now, number = random.Random(SEED), int(time.time() * 1000), 0
    with Redis(unix_socket_path=str(folder / "valkey.sock")) as redis:
        count = redis.register_script(SCRIPTS["count"].text)
        for ago in range(24 * 60, -1, -1):
            if ago > 60 and ago % 10:
                continue
            number += 1
            rows = [word for flow in _FLOWS for word in _row(flow, ago, 10 if ago > 60 else 1, chance)]
            totals = ["", *_sum(rows)]
            count(keys=[P], args=[now - ago * 60_000, "history", number, 1000, *totals, *rows])


def _row(flow: _Flow, ago: int, minutes: int, chance: random.Random) -> list[str]:
    wave = 1 + 0.35 * chance.uniform(-1, 1) + (0.6 if 8 < ago < 20 else 0)
    n = round(flow.per_minute * minutes * wave)
    failed = round(n * flow.failed * (6 if ago < 18 else 1) / 1000)
    counts = (n, n - chance.randrange(3), n - failed, failed, 0, 0, 0, failed // 3)
    return [flow.group, " ".join(map(str, counts)), flow.waits, flow.runs]


def _sum(rows: Sequence[str]) -> list[str]:
    """The counts of all groups, and their times."""
    counts = [sum(column) for column in zip(*(map(int, row.split()) for row in rows[1::4]), strict=True)]
    return [" ".join(map(str, counts)), *(_sum_of_buckets(rows[at::4]) for at in (2, 3))]


def _sum_of_buckets(texts: Sequence[str]) -> str:
    total: dict[int, int] = {}
    for word in " ".join(texts).split():
        bucket, _, n = word.partition(":")
        total[int(bucket)] = total.get(int(bucket), 0) + int(n)
    return " ".join(f"{bucket}:{n}" for bucket, n in sorted(total.items()))


def _settings(url: str) -> None:
    for group, settings in {
        "mail": {"image": "send", "max_concurrency": 20},
        "thumbnails": {"image": "resize"},
        "invoices": {"image": "print", "rate_limit": 5},
        "webhooks": {"image": "post", "rate_limit": 50},
        "reports": {"image": "report"},
    }.items():
        call(f"{url}/v1/groups/{group}", {"group": settings}, "PUT")
    call(f"{url}/v1/groups/invoices", {"group": {"paused": True, "note": "the printer is being moved"}}, "PATCH")


def _failures(url: str) -> str:
    """Mails that fail for three causes, and one that was retried twice; the id of that one."""
    chance = random.Random(SEED)
    failing = ["gone"] * 31 + ["full"] * 61 + ["template"] * 9
    kinds = [*failing, *["ann"] * 160]
    chance.shuffle(kinds)
    enqueue(url, *[_mail(f"{kind}-{n}@example.org", n) for n, kind in enumerate(kinds)])
    [first] = enqueue(url, _mail("full-ann@example.org", 4711) | {"max_retries": 2, "retries_delay": 1})
    if not eventually(lambda: _count(url, "mail", "failed") == len(failing) + 3, LIMIT_S):
        raise TimeoutError("the mails did not fail")
    return first


def _mail(to: str, order: int) -> dict[str, Any]:
    payload = {"to": to, "subject": f"Your order {order}", "items": [{"sku": "A-17", "n": 2}]}
    return {"payload": json.dumps(payload)}


def _waiting(url: str) -> str:
    """Jobs that wait or run; the id of one that waits."""
    enqueue(url, *[_mail(f"slow-{n}@example.org", n) | {"timeout": 3600} for n in range(4)])
    enqueue(url, *[{"image": "resize", "payload": f"s3://pictures/{n}.jpg", "timeout": 3600} for n in range(40)],
            group="thumbnails")  # fmt: skip
    enqueue(url, *[_mail(f"ben-{n}@example.org", n) for n in range(37)])
    waits = enqueue(url, *[{"image": "print", "payload": f"invoice {n}"} for n in range(126)], group="invoices")
    enqueue(url, *[{"image": "post", "delay": 600 + n} for n in range(18)], group="webhooks")
    enqueue(url, *[{"image": "report", "delay": 3600 * (1 + n)} for n in range(6)], group="reports")
    return waits[17]


def _bulks(url: str) -> None:
    """Bulks that are done."""
    for group, body in (
        ("webhooks", {"action": "promote", "limit": 4}),
        ("mail", {"action": "delete", "status": ["succeeded"], "older_than": 3600, "dry_run": True}),
        ("mail", {"action": "retry", "cause": NO_TEMPLATE, "retried": False}),
    ):
        call(f"{url}/v1/groups/{group}/bulk", body)
        done = lambda: all(bulk["state"] == "done" for bulk in ask(f"{url}/v1/bulk")[1]["bulks"])  # noqa: E731
        if not eventually(done, LIMIT_S):
            raise TimeoutError("a bulk did not end")


def _count(url: str, group: str, status: str) -> int:
    return int(ask(f"{url}/v1/groups/{group}")[1]["group"]["counts"][status])
