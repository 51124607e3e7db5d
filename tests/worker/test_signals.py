"""The worker as a service: what it does at signals, and what it tells systemd."""

import asyncio
import signal
import socket
from pathlib import Path

from tests.conftest import eventually
from tests.worker.conftest import enqueue
from tests.worker.programs import Start
from worker.client import Client


async def test_sigtstp_and_sigcont(client: Client, start: Start) -> None:
    """SIGTSTP makes a worker quiet, and does not stop its process; SIGCONT lets it take jobs again."""
    program = await start("--run", "quick=true", "--name", "w1")
    await program.says("asks for jobs")
    program.signal(signal.SIGTSTP)
    await program.says("takes no jobs")
    (job,) = await enqueue(client, "quick")
    assert (await client.show("g", job.id)).status == "queued"
    program.signal(signal.SIGCONT)
    await program.says(f"job {job.id}: succeeded")
    program.signal(signal.SIGTERM)
    assert await program.end() == 0


async def test_sighup_reads_the_table_again(client: Client, start: Start, tmp_path: Path) -> None:
    """After SIGHUP a new entry of the file is run; a file that cannot be read leaves the table as it was."""
    table = tmp_path / "worker.toml"
    table.write_text('[process.one]\nargv = ["true"]\n')
    program = await start("--config", str(table))
    await program.says("asks for jobs")
    table.write_text('[process.one]\nargv = ["true"]\n[process.two]\nargv = ["true"]\n')
    program.signal(signal.SIGHUP)
    await program.says("the table was read again")
    (job,) = await enqueue(client, "two")
    await program.says(f"job {job.id}: succeeded")
    table.write_text("[process.one")
    program.signal(signal.SIGHUP)
    await program.says("the table stays as it was")
    (job,) = await enqueue(client, "two")
    await program.says(f"job {job.id}: succeeded")
    program.signal(signal.SIGTERM)
    assert await program.end() == 0


async def test_systemd_is_told(start: Start, client: Client, tmp_path: Path) -> None:
    """Systemd hears READY=1 when jobs are taken, WATCHDOG=1 twice in its time, STOPPING=1 at SIGTERM."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(0)
        asyncio.get_running_loop().add_reader(channel, lambda: heard.append(channel.recv(4096)))
        address = str(tmp_path / "notify")
        program = await start("--run", "quick=true", NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
        await eventually(lambda: heard.count(b"WATCHDOG=1") > 2)
        assert b"READY=1" in heard[:2]
        program.signal(signal.SIGTERM)
        assert await program.end() == 0
        await eventually(lambda: b"STOPPING=1" in heard)
        asyncio.get_running_loop().remove_reader(channel)


async def test_titan_group_is_no_setting(start: Start) -> None:
    """TITAN_GROUP, which jobs see, stops the start of a worker that is no job, and is passed over in one that is."""
    program = await start("--run", "quick=true", TITAN_GROUP="mail")
    assert await program.end() == 2
    assert b"TITAN_GROUPS" in program.log
    inner = await start("--run", "quick=true", TITAN_GROUP="mail", TITAN_JOB_ID="0hYjB6dJb7Pq2Xk9", TITAN_GROUPS="g")
    await inner.says("asks for jobs")
    inner.signal(signal.SIGTERM)
    assert await inner.end() == 0
