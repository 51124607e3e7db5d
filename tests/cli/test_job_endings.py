"""How commands that talk to a broker end when something outside ends them."""

import json
import signal
import subprocess

import pytest

from tests.cli.live import Titan


@pytest.mark.slow
def test_reader_gone(titan: Titan, group: str) -> None:
    """When nobody reads on, as with `| head`, the command ends without a word."""
    line = json.dumps({"image": "hello", "payload": "x" * 1000}) + "\n"
    titan("job", "enqueue", group, "--ndjson", "-", "--quiet", stdin=line * 500)
    with titan.process("job", "list", group, "--all", "--json", stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_interrupted(titan: Titan, group: str) -> None:
    """Ctrl-C ends a command that waits, without a traceback."""
    job_id, other = titan.made(group), titan.made(group)
    titan("job", "cancel", group, job_id)
    with titan.process("job", "wait", group, job_id, other) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read().strip() == b""
