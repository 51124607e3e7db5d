"""Tokens with real programs: a broker that reads its file again, a worker, the command line, and what they all say."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.conftest import Tokens
from tests.system.conftest import Program, broker, folder, titan

__all__ = ["broker", "folder", "titan"]

pytestmark = [pytest.mark.slow, pytest.mark.service]


def ask(url: str, token: str = "", body: object = None) -> tuple[int, str]:
    """The status and the text of an answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, body and json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_broker_reads_tokens_again_at_hangup(broker: Callable[..., tuple[Program, str]], tokens: Tokens) -> None:
    """SIGHUP lets a new token in; a file with a mistake is said in the log, and leaves the old tokens in force."""
    program, url = broker("--tokens", str(tokens.path))
    assert ask(f"{url}/v1/groups")[0] == 401
    assert ask(f"{url}/healthz")[0] == 200
    late = tokens.add("late", "read")
    assert ask(f"{url}/v1/groups", late)[0] == 401
    program.started.send_signal(signal.SIGHUP)
    program.says("read again: 5 tokens")
    assert ask(f"{url}/v1/groups", late)[0] == 200
    tokens.path.write_text("[[token")
    program.started.send_signal(signal.SIGHUP)
    program.says("What was read before stays in force")
    assert ask(f"{url}/v1/groups", late)[0] == 200
    assert program.stop() == 0


def test_broker_on_every_address_wants_tokens(titan: Callable[..., Program], tokens: Tokens) -> None:
    """Without tokens 0.0.0.0 is refused in one line; with them, and with --insecure, the broker serves."""
    program = titan("broker", "--port", "0", "--host", "0.0.0.0")
    assert program.wait() == 1
    assert program.output.startswith("Error: Every program that reaches 0.0.0.0 could do everything")
    assert len(program.output.splitlines()) == 1
    for words in (("--tokens", str(tokens.path)), ("--insecure",)):
        program = titan("broker", "--port", "0", "--host", "0.0.0.0", *words)
        program.says("serves on")
        assert program.stop() == 0


def test_worker_and_command_line_with_a_token(
    broker: Callable[..., tuple[Program, str]],
    titan: Callable[..., Program],
    tokens: Tokens,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker takes its token from a file, the command line from TITAN_TOKEN; no job and no log at debug has one."""
    program, url = broker("--tokens", str(tokens.path), "--log-level", "debug")
    (tmp_path / "token").write_text(tokens.by_name["consume"] + "\n")
    monkeypatch.setenv("TITAN_TOKEN", tokens.by_name["admin"])
    monkeypatch.setenv("TITAN_BROKER_URL", url)
    words = ("--token-file", str(tmp_path / "token"), "--run", "env=env", "--log-level", "debug")
    worker = titan("worker", *words)
    enqueued = titan("job", "enqueue", "g", "--image", "env")
    assert enqueued.wait() == 0, enqueued.output
    job_id = json.loads(ask(f"{url}/v1/groups/g/jobs", tokens.by_name["read"])[1])["jobs"][0]["id"]
    worker.says(f"job {job_id}: succeeded")
    assert worker.stop() == 0
    log = ask(f"{url}/v1/groups/g/jobs/{job_id}/log", tokens.by_name["read"])[1]
    assert "TITAN_JOB_ID" in log
    assert program.stop() == 0
    for secret in tokens.by_name.values():
        assert secret not in log + program.output + worker.output + enqueued.output
    assert "titan_" not in log
    monkeypatch.delenv("TITAN_TOKEN")


def test_command_line_without_a_token(
    broker: Callable[..., tuple[Program, str]], titan: Callable[..., Program], tokens: Tokens
) -> None:
    """The command line says that a token is needed, and ends with 1."""
    _, url = broker("--tokens", str(tokens.path))
    listing = titan("group", "list", "--broker-url", url)
    assert listing.wait() == 1
    assert "A token is needed" in listing.output
    assert "TITAN_TOKEN" not in os.environ
