"""The worker's own port: whether it lives, whether it can work, and what it has done."""

import asyncio
import re
import socket

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from broker.models.jobs import NewJob
from tests.worker.conftest import Front, Work
from worker.client import Client


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_port_says_what_the_worker_does(front: Front, client: Client, work: Work, port: int) -> None:
    """Runs are counted by outcome, with their output; the port is ready while the broker answers."""
    working = work("good=echo 12345", "bad=false", metrics_port=port, name="w1")
    jobs = await client.enqueue("g", [NewJob(image="good"), NewJob(image="good"), NewJob(image="bad")])
    await working.until("reported", *jobs)
    assert await asked(port, "/healthz") == (200, '{"status": "ok"}')
    assert await asked(port, "/readyz") == (200, '{"status": "ok"}')
    _, told = await asked(port, "/metrics", Accept="application/openmetrics-text")
    found = {
        (sample.name, sample.labels.get("outcome", sample.labels.get("answer", ""))): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.labels.get("worker") == "w1"
    }
    assert found["titan_worker_runs_total", "succeeded"] == 2
    assert found["titan_worker_runs_total", "failed"] == 1
    assert found["titan_worker_run_seconds_count", "failed"] == 1
    assert found["titan_worker_log_bytes_total", ""] == 12
    assert found["titan_worker_started_total", ""] == 3
    assert found["titan_worker_slots", ""] >= 1
    assert found["titan_worker_busy", ""] == found["titan_worker_unreported", ""] == 0
    assert found["titan_worker_polls_total", "jobs"] >= 1
    assert "titan_build_info{" in told
    await front.stop()
    async with asyncio.timeout(10):
        while (answer := await asked(port, "/readyz"))[0] == 200:
            await asyncio.sleep(0.05)
    assert answer[0] == 503
    assert '"away"' in answer[1]
    assert (await asked(port, "/healthz"))[0] == 200
    await front.start()
    async with asyncio.timeout(20):
        while (await asked(port, "/readyz"))[0] != 200:
            await asyncio.sleep(0.05)
    errors = re.findall(
        r'titan_worker_errors_total\{call="\w+",worker="w1"\} (\S+)', (await asked(port, "/metrics"))[1]
    )
    assert sum(map(float, errors)) > 0
    assert await working.end() == 0


async def test_port_is_not_ready_while_the_worker_stops(client: Client, work: Work, port: int) -> None:
    """From the order to stop until the last report the worker lives, and is not ready."""
    working = work("slow=sleep 30", metrics_port=port, grace_s=1.0)
    [job] = await client.enqueue("g", [NewJob(image="slow")])
    await working.until("started", job)
    assert 'titan_worker_busy{worker="' in (await asked(port, "/metrics"))[1]
    working.stop.set()
    assert await asked(port, "/readyz") == (503, '{"status": "stopping", "message": "The worker stops."}')
    assert (await asked(port, "/healthz"))[0] == 200
    await working.task


async def test_a_lost_lease_and_a_cancel_are_counted_apart(client: Client, work: Work, port: int) -> None:
    """A run that is killed for a cancel is no lost lease."""
    working = work("slow=sleep 30", metrics_port=port)
    [job] = await client.enqueue("g", [NewJob(image="slow")])
    await working.until("started", job)
    await client.cancel("g", job.id)
    await working.until("dropped", job)
    _, told = await asked(port, "/metrics")
    assert re.search(r"^titan_worker_cancelled_total\{\S+ 1\.0$", told, re.MULTILINE)
    assert re.search(r"^titan_worker_leases_lost_total\{\S+ 0\.0$", told, re.MULTILINE)
    assert await working.end() == 0


async def test_a_taken_port_stops_the_start(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose port is taken says so and ends with 2, before it takes a job."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert await work("x=true", metrics_port=number).task == 2
    assert f"Cannot listen on 127.0.0.1:{number}, the --metrics-port: Address already in use." in caplog.text


async def asked(port: int, path: str, **headers: str) -> tuple[int, str]:
    """The status and the text of an answer of the port."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as got,
    ):
        return got.status, await got.text()
