"""The log of a job that runs for long: it is sent while it grows, and whole at the end."""

import asyncio
from pathlib import Path

import pytest

from broker.cli.job.log import followed
from broker.core.errors import NotFound
from tests.worker.conftest import Front, Work, enqueue, read_log
from worker.client import Client
from worker.jobs.output import Output


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs are sent and looked at many times a second."""
    monkeypatch.setattr("worker.daemon.loops.upload_logs._STREAM_AFTER_S", 0.0)
    monkeypatch.setattr("broker.logs.follower.LOOK_S", 0.02)


def waits(folder: Path, begins: str, ends: str) -> str:
    """A job that prints something, waits for a file, and prints something else."""
    return f'wait=sh -c \'printf "{begins}"; while ! test -e {folder}/go; do sleep 0.02; done; printf "{ends}"\''


async def test_a_log_is_followed_while_its_job_runs(client: Client, work: Work, tmp_path: Path) -> None:
    """The output of a job can be read before it ends, in order and with its colours, and as a whole afterwards."""
    (job,) = await enqueue(client, "wait")
    worker = work(waits(tmp_path, r"\033[31mone\n", r"two\377\n"), stream_s=0.05)
    seen = b""
    async with asyncio.timeout(10):
        async for piece in followed(client, "g", job.id):
            seen += piece
            if seen.endswith(b"one\n"):
                assert (await client.show("g", job.id)).status == "running"
                (tmp_path / "go").touch()
    assert seen == b"\x1b[31mone\ntwo\xff\n"
    await worker.until("logged", job)
    assert await read_log(client, job) == seen


async def test_a_log_is_followed_through_a_broker_that_goes_away(
    client: Client, front: Front, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower whose broker goes away continues at its position, at the next broker or when it is back."""
    second = Front(front.broker)
    await second.start()
    monkeypatch.setattr("titan.async_session.CONNECT_S", 1.0)
    (job,) = await enqueue(client, "wait")
    work(waits(tmp_path, r"one\n", r"two\n"), stream_s=0.05, broker_url=(second.url,))
    seen = b""
    async with asyncio.timeout(20), Client([front.url, second.url]) as watching:
        async for piece in followed(watching, "g", job.id):
            seen += piece
            if seen == b"one\n":
                await front.stop()
                (tmp_path / "go").touch()
    assert seen == b"one\ntwo\n"
    await second.stop()
    await front.start()


async def test_nothing_is_sent_while_a_job_runs_when_streaming_is_off(
    client: Client, work: Work, tmp_path: Path
) -> None:
    """With --stream-s 0 a log comes when its job has ended, and not before."""
    (job,) = await enqueue(client, "wait")
    worker = work(waits(tmp_path, r"one\n", r"two\n"), stream_s=0)
    await worker.until("started", job)
    await asyncio.sleep(0.3)  # in which it would have come
    with pytest.raises(NotFound):
        await read_log(client, job)
    (tmp_path / "go").touch()
    await worker.until("logged", job)
    assert await read_log(client, job) == b"one\ntwo\n"


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1000])
async def test_head_and_tail_are_kept(piece_bytes: int) -> None:
    """Of too much output the first and the last half are kept, and a line says how many bytes are missing."""
    text = b"".join(b"%05d\n" % number for number in range(500))
    output = Output(600)
    for at in range(0, len(text), piece_bytes):
        output.write(text[at : at + piece_bytes])
    kept = b"".join([piece async for piece in output.pieces()])
    assert kept == text[:300] + b"\n[titan: 2400 bytes of output were cut here]\n" + text[-300:]
    assert (output.size_bytes, output.beginning_bytes) == (3000, 300)
    output.close()


@pytest.mark.parametrize("size_bytes", [0, 1, 299, 300, 301, 599, 600])
async def test_what_fits_is_kept_whole(size_bytes: int) -> None:
    """Up to the limit nothing is missing, and what is sent while the job runs is the beginning of that."""
    text = (b"0123456789" * 60)[:size_bytes]
    output = Output(600)
    output.write(text)
    assert b"".join([piece async for piece in output.pieces()]) == text
    assert b"".join([piece async for piece in output.beginning(output.beginning_bytes)]) == text[:300]
    output.close()
