"""One of several servers of a store is dead or frozen: the groups of the others go through."""

import json
import re
import signal
import time
import urllib.error
from collections.abc import Callable
from typing import NamedTuple

import pytest

from broker.resp.keys import partition_of
from tests.system.conftest import Program
from tests.system.test_serve import ask
from tests.system.test_servers import GROUPS, Fleet, Start, enqueue, fleet, until

__all__ = ["fleet"]
pytestmark = pytest.mark.slow
CALLS = 200
QUICK_S = 0.1


class Scene(NamedTuple):
    """A broker on three servers, and the groups of the server that goes away and of the others."""

    url: str
    fleet: Fleet
    port: int
    away: list[str]
    living: list[str]

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        self.fleet.ports[self.port].send_signal(number)


@pytest.fixture
def scene(broker: Start, fleet: Fleet) -> Scene:
    """The scene, with a job in each group."""
    ports = [fleet.start() for _ in range(3)]
    words = ("--redis-url", ",".join(f"redis://127.0.0.1:{port}/0" for port in ports), "--partitions", "3")
    _, url = broker(*words)
    for group in GROUPS:
        enqueue(url, group)
    away = [group for group in GROUPS if partition_of(group, 3) == 1]
    return Scene(url, fleet, ports[1], away, [group for group in GROUPS if group not in away])


def answered_in_time(calls: list[Callable[[], object]]) -> float:
    """The part of the calls that succeed within QUICK_S."""
    quick = 0
    for call in calls:
        began = time.monotonic()
        try:
            call()
        except OSError:
            continue
        quick += time.monotonic() - began < QUICK_S
    return quick / len(calls)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_calls_for_living_groups(scene: Scene, number: int) -> None:
    """Calls for groups of living servers, and `next` without groups, succeed quickly; readyz names the other server."""
    url = scene.url
    scene.signal(number)
    degraded = [f"redis://127.0.0.1:{scene.port}/0"]
    until(lambda: ask(f"{url}/readyz").get("degraded") == degraded)
    assert ask(f"{url}/readyz")["status"] == "degraded"
    calls: list[Callable[[], object]] = []
    for i in range(CALLS // 4):
        group = scene.living[i % len(scene.living)]
        calls += [
            lambda group=group: enqueue(url, group),
            lambda: ask(f"{url}/v1/jobs?n=1"),
            lambda group=group: ask(f"{url}/v1/jobs?group={group}"),
            lambda group=group: ask(f"{url}/v1/groups/{group}"),
        ]
    assert answered_in_time(calls) >= 0.95
    assert answered_in_time([lambda: enqueue(url, scene.away[0])] * 10) == 0


def test_calls_after_the_server_is_back(scene: Scene) -> None:
    """A frozen server that goes on is used again within seconds, with all that it had."""
    scene.signal(signal.SIGSTOP)
    until(lambda: "degraded" in ask(f"{scene.url}/readyz"))
    scene.signal(signal.SIGCONT)
    until(lambda: ask(f"{scene.url}/readyz")["status"] == "ok", 10)
    found = {job["group_name"] for _ in GROUPS for job in ask(f"{scene.url}/v1/jobs?n=3")["jobs"]}
    assert found == set(GROUPS)


def test_long_poll_waits_on_the_living(scene: Scene) -> None:
    """A long poll over all groups gets a job of a living server while another one is frozen."""
    while ask(f"{scene.url}/v1/jobs?n=50")["jobs"]:
        pass
    scene.signal(signal.SIGSTOP)
    until(lambda: "degraded" in ask(f"{scene.url}/readyz"))
    job_id = enqueue(scene.url, scene.living[0])
    assert [job["id"] for job in ask(f"{scene.url}/v1/jobs?wait=10")["jobs"]] == [job_id]


def test_reaper_works_on_the_living(scene: Scene) -> None:
    """A lost lease of a living server is taken back while another server is frozen."""
    group = scene.living[0]
    [job] = ask(f"{scene.url}/v1/jobs?group={group}&lease=3")["jobs"]
    scene.signal(signal.SIGSTOP)
    path = f"{scene.url}/v1/groups/{group}/jobs/{job['id']}"
    assert until(lambda: ask(path)["job"]["status"] == "queued") < 6


def test_ready_when_all(broker: Start, fleet: Fleet, titan: Callable[..., Program]) -> None:
    """With --ready-when all a broker is not ready as soon as one server is away."""
    ports = [fleet.start() for _ in range(2)]
    address = ",".join(f"redis://127.0.0.1:{port}/0" for port in ports)
    _, url = broker("--redis-url", address, "--partitions", "2", "--ready-when", "all")
    assert ask(f"{url}/readyz")["status"] == "ok"
    fleet.ports[ports[0]].kill()

    def refuses() -> bool:
        try:
            ask(f"{url}/readyz")
        except urllib.error.HTTPError as error:
            return error.code == 503 and f":{ports[0]}/" in json.load(error)["error"]["message"]
        return False

    until(refuses)


def test_bulk_of_living_and_away(scene: Scene) -> None:
    """One call touches and finishes jobs of all servers: only those of the server that is away are refused."""
    jobs = [ask(f"{scene.url}/v1/jobs?group={group}")["jobs"][0] for group in (scene.living[0], scene.away[0])]
    scene.signal(signal.SIGKILL)
    held = [{name: job[name] for name in ("group_name", "id", "lease")} for job in jobs]
    touched = ask(f"{scene.url}/v1/jobs/touch", json.dumps({"jobs": held}).encode())["jobs"]
    assert [outcome.get("ok", False) for outcome in touched] == [True, False]
    assert touched[1]["error"]["code"] == "store_unavailable"
    done = [item | {"status": "succeeded"} for item in held]
    finished = ask(f"{scene.url}/v1/jobs/finish", json.dumps({"jobs": done}).encode())["jobs"]
    assert [outcome.get("ok", False) for outcome in finished] == [True, False]
    path = f"{scene.url}/v1/groups/{jobs[0]['group_name']}/jobs/{jobs[0]['id']}"
    assert ask(path)["job"]["status"] == "succeeded"


def test_cancel_reaches_a_worker_of_the_living(scene: Scene) -> None:
    """A worker that waits for orders learns at once that a job of a living server was cancelled."""
    [job] = ask(f"{scene.url}/v1/jobs?group={scene.living[0]}")["jobs"]
    body = json.dumps({"name": "w", "host": "h", "slots": 1, "busy": 1}).encode()
    seen = ask(f"{scene.url}/v1/workers?wait=1", body)["seen"]
    scene.signal(signal.SIGSTOP)
    until(lambda: "degraded" in ask(f"{scene.url}/readyz"))
    ask(f"{scene.url}/v1/groups/{job['group_name']}/jobs/{job['id']}/cancel", b"{}")
    assert ask(f"{scene.url}/v1/workers?wait=10&seen={seen}", body)["cancelled"] == [job["id"]]


def test_metrics_name_the_server_that_is_away(scene: Scene) -> None:
    """titan_store_up is 0 for the server that does not answer, and 1 for the others."""
    scene.signal(signal.SIGSTOP)
    with urllib.request.urlopen(f"{scene.url}/metrics", timeout=10) as answer:
        found = re.findall(
            r'^titan_store_up\{server="redis://127.0.0.1:(\d+)/0"\} ([01])\.0$', answer.read().decode(), re.MULTILINE
        )
    assert {int(port) for port, up in found if up == "0"} == {scene.port}
    assert len(found) == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_doctor_names_the_server_that_is_away(scene: Scene, number: int) -> None:
    """The doctor has the lines of the living servers, and one that names the other server, within seconds."""
    scene.signal(number)
    until(lambda: "degraded" in ask(f"{scene.url}/readyz"))
    began = time.monotonic()
    lines = {line["about"]: line for line in ask(f"{scene.url}/v1/doctor")["lines"]}
    assert time.monotonic() - began < 15
    away = f"redis://127.0.0.1:{scene.port}/0"
    assert (lines[f"server {away}"]["state"], lines[f"server {away}"]["found"]) == ("wrong", "no answer")
    assert f"memory of {away}" not in lines
    for port in scene.fleet.ports.keys() - {scene.port}:
        assert f"memory of redis://127.0.0.1:{port}/0" in lines
        assert f"server redis://127.0.0.1:{port}/0" not in lines
    assert {"layout", "partitions", "reaper", "spread"} <= lines.keys()


def started_without_one(broker: Start, fleet: Fleet, layout: int = 2) -> tuple[Program, str, list[int]]:
    """Fill two servers, freeze the second one, which has this layout, and start a new broker on them."""
    ports = [fleet.start() for _ in range(2)]
    words = ("--redis-url", ",".join(f"redis://127.0.0.1:{port}/0" for port in ports), "--partitions", "2")
    first, url = broker(*words)
    for group in GROUPS:
        enqueue(url, group)
    assert first.stop() == 0
    fleet.ask(ports[1], "SET", "titan:format", str(layout))
    fleet.ports[ports[1]].send_signal(signal.SIGSTOP)
    program, url = broker(*words)
    assert ask(f"{url}/readyz")["degraded"] == [f"redis://127.0.0.1:{ports[1]}/0"]
    return program, url, ports


def test_start_while_one_is_away(broker: Start, fleet: Fleet) -> None:
    """A broker starts with one of two servers, and uses the other one as soon as that answers."""
    _, url, ports = started_without_one(broker, fleet)
    here = [group for group in GROUPS if partition_of(group, 2) == 0]
    assert {job["group_name"] for job in ask(f"{url}/v1/jobs?n=100")["jobs"]} == set(here)
    fleet.ports[ports[1]].send_signal(signal.SIGCONT)
    until(lambda: ask(f"{url}/readyz")["status"] == "ok")
    assert {job["group_name"] for job in ask(f"{url}/v1/jobs?n=100")["jobs"]} == set(GROUPS) - set(here)


def test_start_while_one_of_another_layout_is_away(broker: Start, fleet: Fleet) -> None:
    """A server that turns out to have another layout is not touched, and the broker leaves the store."""
    program, _, ports = started_without_one(broker, fleet, layout=99)
    fleet.ports[ports[1]].send_signal(signal.SIGCONT)
    assert program.wait() == 1
    assert "has layout 99" in program.output
    there = [group for group in GROUPS if partition_of(group, 2) == 1]
    assert sorted(fleet.ask(ports[1], "KEYS", "titan:{1}:group:*:queued")) == sorted(
        f"titan:{{1}}:group:{group}:queued" for group in there
    )
