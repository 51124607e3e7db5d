"""`titan doctor --broker-url` through nginx, with and without the buffering of responses."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from tests.deploy import proxies
from tests.deploy.conftest import missing
from tests.deploy.proxies import Proxy
from tests.system import conftest as programs
from tests.system.conftest import Program

pytestmark = pytest.mark.slow

folder, titan, broker = programs.folder, programs.titan, programs.broker
Start = Callable[..., tuple[Program, str]]


DEFAULTS = {"proxy_buffering off;": "", "proxy_http_version 1.1;": ""}
"""Without these lines nginx has its defaults: HTTP/1.0 to the broker, and buffering."""
BUFFERS = DEFAULTS | {"proxy_buffering off;": "proxy_ignore_headers X-Accel-Buffering;"}


class Nginx:
    """Starts nginx with deploy/nginx.conf, some of its lines replaced, in front of one broker."""

    def __init__(self, program: str, conf: Path, folder: Path) -> None:
        self._program, self._conf, self._folder = program, conf, folder
        self.started: list[Proxy] = []

    def __call__(self, broker_url: str, replaced: Mapping[str, str] = MappingProxyType({})) -> str:
        """The URL of the proxy."""
        text = self._conf.read_text()
        for line, put in replaced.items():
            assert line in text
            text = text.replace(line, put)
        folder = self._folder / str(len(self.started))
        folder.mkdir()
        (folder / "changed.conf").write_text(text)
        port = int(broker_url.rpartition(":")[2])
        self.started.append(proxies.nginx(self._program, folder / "changed.conf", folder, (port, port)))
        return self.started[-1].url


@pytest.fixture
def nginx(deploy: Path, tmp_path: Path) -> Iterator[Nginx]:
    """Nginx programs that end with the test."""
    program = proxies.where("nginx")
    if program is None:
        missing("nginx is missing: apt-get install nginx-light")
    start = Nginx(program, deploy / "nginx.conf", tmp_path)
    yield start
    for proxy in start.started:
        proxy.end()


def doctor(folder: Path, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code of `titan doctor`, its lines, and what it says on stderr."""
    command = [sys.executable, "-m", "broker", "doctor", "--json", *words]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, msgspec.json.decode(done.stdout)["lines"] if done.stdout else [], done.stderr


def test_doctor_finds_a_proxy_that_buffers(broker: Start, nginx: Nginx, tmp_path: Path) -> None:
    """A proxy that holds answers back is found; with the file of deploy/, and without a proxy, answers come in time."""
    _, url = broker()
    buffering, good = nginx(url, BUFFERS), nginx(url)
    code, lines, _ = doctor(tmp_path, "--broker-url", f"{url};{good};{buffering}")
    assert [(line["about"], line["state"]) for line in lines] == [
        (f"answers of {url}", "ok"),
        (f"answers of {good}", "ok"),
        (f"answers of {buffering}", "wrong"),
    ]
    assert "proxy_buffering off" in lines[2]["advice"]
    assert code == 1


def test_doctor_accepts_the_defaults_of_nginx(broker: Start, nginx: Nginx, tmp_path: Path) -> None:
    """The header X-Accel-Buffering, which followed logs have too, switches the buffering off."""
    _, url = broker()
    code, [line], _ = doctor(tmp_path, "--broker-url", nginx(url, DEFAULTS))
    assert (code, line["state"]) == (0, "ok")


def test_doctor_checks_the_store_too_when_it_is_named(broker: Start, folder: Path, tmp_path: Path) -> None:
    """The lines of the store come first; without a name, and without a data folder, there are none."""
    _, url = broker("--data-dir", str(folder / "data"))
    _, lines, _ = doctor(tmp_path, "--broker-url", url, "--data-dir", str(folder / "data"))
    assert (lines[0]["about"], lines[-1]["about"]) == ("version", f"answers of {url}")
    _, lines, _ = doctor(tmp_path, "--broker-url", url)
    assert len(lines) == 1


def test_doctor_says_why_a_broker_does_not_answer(broker: Start, nginx: Nginx, titan: Any, tmp_path: Path) -> None:
    """No broker, a proxy without one, another server, and a missing token each have a line with what to do."""
    closed = f"http://127.0.0.1:{proxies.free_port()}"
    code, [line], _ = doctor(tmp_path, "--broker-url", closed)
    assert (code, line["state"], line["found"]) == (1, "wrong", "no answer")
    code, [line], _ = doctor(tmp_path, "--broker-url", nginx(closed))
    assert (code, line["state"]) == (1, "wrong")
    assert line["advice"]
    tokens = tmp_path / "tokens"
    assert titan("token", "new", "--scope", "read", "--tokens", str(tokens), "--name", "one").wait() == 0
    _, url = broker("--tokens", str(tokens))
    code, [line], _ = doctor(tmp_path, "--broker-url", url)
    assert (code, line["state"]) == (0, "unknown")
    assert "--token-file" in line["advice"]
    code, _, said = doctor(tmp_path, "--broker-url", "ftp://x")
    assert code == 2
    assert "--broker-url" in said
