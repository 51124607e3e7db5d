"""The small parts: output, backoff, settings."""

import errno
import os
import subprocess
import tempfile
from unittest.mock import AsyncMock, Mock

import msgspec
import pytest

from broker.core.errors import Invalid, LimitReached, StoreUnavailable, TitanError
from tests.worker.watching import open_files
from titan.errors import BrokerUnavailable
from worker.daemon import linux
from worker.daemon.backoff import Backoff, Outage, is_passing, resend
from worker.jobs.output import Output
from worker.settings import WorkerSettings, job_environment


async def kept(output: Output) -> bytes:
    """What is kept of it."""
    return b"".join([piece async for piece in output.pieces()])


async def test_output_can_be_read_again() -> None:
    """An upload that failed starts from the beginning."""
    output = Output(1 << 20)
    output.write(b"a" * 300_000)
    output.write(b"b")
    assert await kept(output) == await kept(output) == b"a" * 300_000 + b"b"
    output.close()


async def test_output_that_is_long_and_on_a_disk_is_whole() -> None:
    """Output goes to a file without a name once it is not short any more, and comes back to the letter."""
    output, before = Output(1 << 20), open_files()
    output.write(b"x" * 100_000)
    assert len(open_files()) == len(before) + 1
    assert len(output._head._file._memory) == 0
    output.write(b"y" * 600_000)
    assert await kept(output) == b"x" * 100_000 + b"y" * 600_000
    output.close()
    output.close()
    assert open_files() == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("room_bytes", [0, 1, 100_000, 300_000])
async def test_output_on_a_full_disk(monkeypatch: pytest.MonkeyPatch, code: int, room_bytes: int) -> None:
    """What was kept before stays, head and tail; the rest is counted, the cause named; the job does not notice."""
    printed = b"".join(b"%09d\n" % n for n in range(100_000))
    pwrite, left = os.pwrite, room_bytes

    def full(file: int, piece: bytes, at: int) -> int:
        nonlocal left
        if at + len(piece) <= os.fstat(file).st_size:
            return pwrite(file, piece, at)
        if not left:
            raise OSError(code, os.strerror(code))
        written = pwrite(file, piece[:left], at)
        left -= written
        return written

    monkeypatch.setattr(os, "pwrite", full)
    output = Output(1 << 20)
    for first in range(0, len(printed), 7777):
        output.write(printed[first : first + 7777])
    log = await kept(output)
    head, _, tail = log.partition(
        b"\n[titan: %d bytes of output were cut here]\n[titan: the worker could not keep them: %s]\n"
        % (output.cut_bytes, os.strerror(code).encode())
    )
    assert len(head) >= max(60_000, min(room_bytes, 1 << 19))
    assert len(tail) >= 60_000
    assert printed.startswith(head)
    assert printed.endswith(tail)
    assert len(head) + output.cut_bytes + len(tail) == len(printed)
    output.close()


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "gone"), OSError(errno.EMFILE, "too many")])
async def test_output_without_a_file(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """With no folder for it, or no descriptor left, the beginning and the end are kept in memory."""
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=error))
    output = Output(1 << 20)
    output.write(b"a" * 100_000 + b"b" * 100_000)
    log = await kept(output)
    assert (log[:1], log[-1:], output.write_error) == (b"a", b"b", error.strerror)
    assert output.cut_bytes == 200_000 - 2 * 65_536
    output.close()


async def test_output_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that breaks afterwards is named in the log, and raises nothing in those who send it."""
    output = Output(1 << 20)
    output.write(b"x" * 100_000)
    monkeypatch.setattr(os, "pread", Mock(side_effect=OSError(errno.EIO, "broken")))
    assert await kept(output) == b"\n[titan: the output that was kept cannot be read: broken]\n"
    output.close()


async def test_ring_that_cannot_be_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail that breaks when it goes round is given up: its bytes are counted as cut."""
    output = Output(200_000)
    output.write(b"h" * 100_000 + b"t" * 100_000)
    monkeypatch.setattr(os, "pwrite", Mock(side_effect=OSError(errno.EIO, "broken")))
    output.write(b"u" * 10)
    assert (await kept(output)).endswith(
        b"\n[titan: 100010 bytes of output were cut here]\n[titan: the worker could not keep them: broken]\n"
    )
    output.close()


def test_a_refusal_is_said_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    """A lasting refusal is one error in the log, and another one when the broker changes its message."""
    backoff = Backoff("the heartbeat")
    for said in ("Not so.", "Not so.", "Nor so.", "Nor so."):
        backoff.failed(Invalid(said))
    assert [(row.levelname, row.getMessage()) for row in caplog.records] == [
        ("ERROR", "the heartbeat: the broker refuses it: Not so; trying again until it works"),
        ("ERROR", "the heartbeat: the broker refuses it: Nor so; trying again until it works"),
    ]


def test_waits_double_with_jitter_and_respect_retry_after() -> None:
    """Waits grow up to the longest, are never equal for all, and never shorter than the broker asked for."""
    backoff = Backoff("next", max_s=4)
    waits = [backoff.failed(BrokerUnavailable()) for _ in range(6)]
    longest = [0.5, 1, 2, 4, 4, 4]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert backoff.failed(StoreUnavailable(retry_after_s=30)) >= 32
    backoff.succeeded()
    assert backoff.failed(BrokerUnavailable()) <= 0.5


def test_one_line_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """The log has a line when an outage begins and one when it ends, whichever loops of the worker notice it."""
    caplog.set_level("INFO")
    outage = Outage()
    leases, jobs = Backoff("renewing leases", outage), Backoff("asking for jobs", outage)
    for backoff in (leases, jobs, leases):
        backoff.failed(BrokerUnavailable("It is away."))
    assert leases.is_failing
    for backoff in (jobs, leases, leases):
        backoff.succeeded()
    assert not leases.is_failing
    assert caplog.messages == [
        "renewing leases: It is away; trying again until it works",
        "the broker answers again after 0 s",
    ]


def test_an_outage_ends_for_a_loop_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """A call that never failed does not end an outage: a part of the store may be away."""
    caplog.set_level("INFO")
    outage = Outage()
    heartbeat, jobs = Backoff("the heartbeat", outage), Backoff("asking for jobs", outage)
    for _ in range(2):
        heartbeat.failed(StoreUnavailable())
        jobs.succeeded()
    assert len(caplog.messages) == 1


def test_a_limit_is_the_trouble_of_one_loop(caplog: pytest.LogCaptureFixture) -> None:
    """An error that other calls do not meet has its own lines."""
    caplog.set_level("INFO")
    outage = Outage()
    heartbeat, jobs = Backoff("the heartbeat", outage), Backoff("asking for jobs", outage)
    jobs.failed(BrokerUnavailable("It is away."))
    heartbeat.failed(LimitReached("There are too many."))
    heartbeat.succeeded()
    assert caplog.messages[1:] == [
        "the heartbeat: There are too many; trying again until it works",
        "the heartbeat: works again after 1 failure",
    ]


async def test_an_outage_that_a_call_leaves_is_told_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that is given up does not hide the next outage."""
    monkeypatch.setattr("worker.daemon.backoff._FIRST_S", 0)
    outage = Outage()
    for last in (Invalid("Not so."), BrokerUnavailable("It is away.")):
        call = AsyncMock(side_effect=[BrokerUnavailable("It is away."), last])
        with pytest.raises(type(last)):
            await resend("uploading a log", call, 2, outage)
    assert caplog.messages == ["uploading a log: It is away; trying again until it works"] * 2
    caplog.clear()
    jobs = Backoff("asking for jobs", outage)
    jobs.failed(BrokerUnavailable("It is away."))
    with pytest.raises(BrokerUnavailable):
        await resend("uploading a log", AsyncMock(side_effect=BrokerUnavailable), 1, outage)
    jobs.failed(BrokerUnavailable("It is away."))
    assert len(caplog.messages) == 1


async def test_resend_only_what_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble that passes is waited for, up to the number of tries; a refusal is raised at once."""
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    monkeypatch.setattr("worker.daemon.backoff.asyncio.sleep", sleep)
    errors: list[TitanError] = [BrokerUnavailable(), StoreUnavailable()]

    async def call() -> str:
        if errors:
            raise errors.pop(0)
        return "answer"

    assert await resend("finish", call) == "answer"
    assert len(waits) == 2
    errors = [Invalid()]
    with pytest.raises(Invalid):
        await resend("finish", call)
    errors = [BrokerUnavailable()] * 9
    with pytest.raises(BrokerUnavailable):
        await resend("log", call, tries=3)
    assert len(errors) == 6


def test_codes_that_pass() -> None:
    """An item of a bulk answer that the store could not be asked about is asked about again."""
    assert is_passing("store_unavailable")
    assert not is_passing("wrong_state")
    assert not is_passing("internal")


def test_the_environment_that_is_passed_on() -> None:
    """Only harmless variables of the worker reach a job."""
    present = {"PATH": "/bin", "TZ": "UTC", "TITAN_TOKEN": "secret", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert job_environment(present) == {"PATH": "/bin", "TZ": "UTC"}


@pytest.mark.parametrize(
    "wrong", [{"broker_url": "localhost:8080"}, {"concurrency": 0}, {"lease_s": 0}, {"wait_s": 31}, {"group": ["a b"]}]
)
def test_settings_have_bounds(wrong: dict[str, object]) -> None:
    """A setting out of bounds is refused by name."""
    with pytest.raises(msgspec.ValidationError, match=next(iter(wrong))):
        msgspec.convert(wrong, WorkerSettings)


def test_a_process_that_ended_was_never_started() -> None:
    """One that nobody has asked after, as orphans are in a container whose first process asks after none, is gone."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert linux.started_at(process.pid).isdigit()
        process.stdin.close()  # type: ignore[union-attr]
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert linux.started_at(process.pid) == ""
    assert linux.started_at(process.pid) == ""
