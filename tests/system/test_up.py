"""`titan up`, as somebody who tries it sees it."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pages import ROOT
from tests.system.conftest import Program
from titan import Client

Start = Callable[..., Program]

pytestmark = pytest.mark.slow


def run_line(line: str) -> str:
    """What a line prints that is pasted into a shell."""
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=20, check=True)
    return ran.stdout


def test_up_shows_the_sample(titan: Start) -> None:
    """The sample's jobs are shown from queued to their end, with their logs; Ctrl-C is exit code 0."""
    program = titan("up", "--port", "0")
    program.says(r"Ctrl-C stops")
    assert "its store has no jobs yet" in program.output
    failed = "failed, bad_exit: exit code 1: This one fails on purpose."
    for image, end in (("hello", "succeeded"), ("count", "succeeded"), ("fail", failed)):
        states = re.findall(rf"^\S+  \S+  sample/{image} +(.+)$", program.output, re.MULTILINE)
        assert states == ["queued", "running", end]
    for line in ("Hello, world!", "3", "This one fails on purpose."):
        assert f"  | {line}\n" in program.output
    assert program.stop(signal.SIGINT) == 0
    assert "Traceback" not in program.output


def test_up_names_the_dashboard_first(titan: Start) -> None:
    """The first address is that of the dashboard, and it answers; with --ui off there is none."""
    program = titan("up", "--port", "0", "--no-sample")
    program.says(r"Ctrl-C stops")
    first, address = re.findall(r"^(.*?)(http://[^\s;]+)", program.output, re.MULTILINE)[0]
    assert (first, address[-4:]) == ("Dashboard: ", "/ui/")
    assert "<title>Titan</title>" in run_line(f"curl -s {address}")
    without = titan("up", "--port", "0", "--no-sample", "--ui", "off", "--data-dir", "other")
    without.says(r"Ctrl-C stops")
    assert "There is no dashboard" in without.output
    assert "/ui/" not in without.output


def test_up_names_the_dashboard_on_a_terminal(folder: Path) -> None:
    """On a terminal too the first address is that of the dashboard, and Ctrl-C ends it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "broker", "up", "--port", "0", "--no-sample"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as up:
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as screen:
            shown = b""
            while b"Ctrl-C stops" not in shown:
                shown += screen.read(4096)
            up.send_signal(signal.SIGINT)
            assert up.wait(30) == 0
    assert re.findall(rb"^(.*?)http://[^\s;]+", shown, re.MULTILINE)[0] == b"Dashboard: "


def test_up_opens_the_dashboard(titan: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --open the browser of the person gets the address of the dashboard; without one a line says so."""
    opened = folder / "opened"
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    program = titan("up", "--port", "0", "--no-sample", "--open")
    address = program.says(r"^Dashboard: (\S+)$")[1]
    program.says(r"Ctrl-C stops")
    assert opened.read_text().strip() == address
    monkeypatch.setenv("BROWSER", "false")
    program = titan("up", "--port", "0", "--no-sample", "--open", "--data-dir", "other")
    program.says(r"No browser was found")
    program.says(r"Ctrl-C stops")


def test_up_lines_to_try(titan: Start) -> None:
    """The three lines for curl and the one for redis-cli do what they say when they are pasted into a shell."""
    program = titan("up", "--port", "0")
    program.says(r"Ctrl-C stops")
    enqueue, newest, log = re.findall(r"^curl .+$", program.output, re.MULTILINE)
    assert '"status":"queued"' in run_line(enqueue)
    program.says(r"Hello, curl!")
    assert '"payload":"curl"' in run_line(newest)
    assert run_line(log) == "Hello, world!\n"
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not here: apt-get install redis-tools")
    token, delivery, _, *_, status, _ = run_line(program.says(r"^redis-cli .+$")[0]).split()
    assert (bool(token), delivery, status) == (True, "1", "succeeded")
    assert program.stop(signal.SIGINT) == 0


def test_up_again(titan: Start, folder: Path) -> None:
    """Started again, everything is still there, jobs and logs."""
    first = titan("up", "--port", "0", "--data-dir", "kept")
    log = first.says(r"^curl .*/v1/(groups/sample/jobs/\w+/log)$")[1]
    assert first.stop(signal.SIGINT) == 0
    assert f"all jobs are kept in {folder / 'kept'}" in first.output
    second = titan("up", "--port", "0", "--data-dir", "kept", "--no-sample")
    url = second.says(r"serves on (\S+); its store has 3 jobs: 2 succeeded, 1 failed\.")[1]
    second.says(r"Ctrl-C stops")
    assert "queued" not in second.output
    assert run_line(f"curl -s {url}/v1/{log}") == "Hello, world!\n"
    assert second.stop(signal.SIGTERM) == 0


def test_up_runs_own_commands(titan: Start) -> None:
    """--run adds an image, and may take the place of one of the sample's."""
    program = titan("up", "--port", "0", "--run", f"hello={sys.executable} -c 'print(6 * 7)'")
    program.says(r"\| 42$")
    program.says(r"Ctrl-C stops")
    assert program.stop() == 0


def test_up_takes_the_options_of_a_worker(titan: Start, folder: Path) -> None:
    """--config adds images, also in place of one of the sample's, and a duration is read as a worker reads it."""
    table = folder / "worker.toml"
    table.write_text(f"[process.hello]\nargv = ['{sys.executable}', '-c', 'print(6 * 7)']\n")
    program = titan("up", "--port", "0", "--config", str(table), "--lease-s", "1m", "--grace-s", "5s")
    program.says(r"\| 42$")
    program.says(r"Ctrl-C stops")
    assert program.stop() == 0


def test_up_stopped_at_once(titan: Start) -> None:
    """Ctrl-C while the sample runs lets it end, and nothing is left behind."""
    program = titan("up", "--port", "0")
    program.says(r"count +running")
    assert program.stop(signal.SIGINT) == 0
    assert re.search(r"count +succeeded", program.output)
    assert "Try" not in program.output


def test_up_without_its_sample_jobs(titan: Start) -> None:
    """Sample jobs that the broker refuses are one line; the rest works."""
    program = titan("up", "--port", "0", "--max-payload-bytes", "1")
    program.says(r"^There are no sample jobs: .*payload.*$")
    program.says(r"Ctrl-C stops")
    assert program.stop(signal.SIGINT) == 0
    assert "Traceback" not in program.output


def test_up_repeats_its_sample_jobs(titan: Start) -> None:
    """Sample jobs that cannot be enqueued yet are enqueued as soon as they can be."""
    first = titan("up", "--port", "0", "--no-sample")
    with Client(first.says(r"serves on (\S+);")[1]) as client:
        job = client.enqueue("sample", image="hello", delay=3600)
    first.says(r"Ctrl-C stops")
    assert first.stop(signal.SIGINT) == 0
    second = titan("up", "--port", "0", "--max-group-jobs", "3")
    url = second.says(r"serves on (\S+);")[1]
    second.says(r"trying again")
    with Client(url) as client:
        client.cancel("sample", job.id)
    second.says(r"count +succeeded")
    second.says(r"Ctrl-C stops")
    assert second.stop(signal.SIGINT) == 0


def test_up_twice_on_one_port(titan: Start, folder: Path) -> None:
    """A second one on the same port says so in one line; the first is not disturbed."""
    first = titan("up", "--port", "0")
    port = first.says(r"serves on http://127\.0\.0\.1:(\d+)")[1]
    second = titan("up", "--port", port)
    assert second.wait() == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in second.output
    first.says(r"Ctrl-C stops")
    assert first.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("entry", ["hello", "hello='"])
def test_up_with_a_command_that_cannot_be_read(titan: Start, entry: str) -> None:
    """A --run that cannot be read is wrong usage, before anything is started."""
    program = titan("up", "--port", "0", "--run", entry)
    assert program.wait() == 2
    assert "--run" in program.output
