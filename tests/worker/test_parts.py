"""The small parts: output, backoff, settings."""

import os
import subprocess
import tempfile

import msgspec
import pytest

from broker.errors import Invalid, StoreUnavailable, TitanError
from worker import linux
from worker.answers import BrokerUnavailable
from worker.backoff import Backoff, is_passing, resend
from worker.config import WorkerSettings, job_environment
from worker.output import Output


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


async def test_output_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits is kept, the rest is counted, and the job does not notice."""
    output = Output(1 << 20)
    output.write(b"before")

    def full(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("worker.output._File.write", full)
    output.write(b"lost")
    monkeypatch.undo()
    output.write(b"lost too")
    assert await kept(output) == b"before\n[titan: 12 bytes of output were cut here]\n"
    output.close()


def test_long_output_is_not_in_memory() -> None:
    """Output goes to a file without a name once it is not short any more."""
    output = Output(1 << 20)
    output.write(b"x" * 100_000)
    assert isinstance(output._head._file._file, tempfile.SpooledTemporaryFile)
    assert output._head._file._file._rolled
    output.close()


def test_waits_double_with_jitter_and_respect_retry_after() -> None:
    """Waits grow up to the longest, are never equal for all, and never shorter than the broker asked for."""
    backoff = Backoff("next", most_s=4)
    waits = [backoff.failed(BrokerUnavailable()) for _ in range(6)]
    longest = [0.5, 1, 2, 4, 4, 4]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert backoff.failed(StoreUnavailable(retry_after_s=30)) >= 32
    backoff.succeeded()
    assert backoff.failed(BrokerUnavailable()) <= 0.5


def test_one_line_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """The log has a line when it begins and one when it is over."""
    caplog.set_level("INFO")
    backoff = Backoff("touch")
    for _ in range(3):
        backoff.failed(BrokerUnavailable("away"))
    backoff.succeeded()
    backoff.succeeded()
    assert caplog.messages == ["touch: away; trying again until it works", "touch: works again after 3 failures"]


async def test_resend_only_what_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble that passes is waited for, up to the number of tries; a refusal is raised at once."""
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    monkeypatch.setattr("worker.backoff.asyncio.sleep", sleep)
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
