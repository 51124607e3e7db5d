"""nginx and HAProxy with the files of deploy/, in front of two brokers that are restarted one after the other."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.brokers import eventually

DRAIN_S = 5
"""TITAN_DRAIN_DELAY_S as broker/docs/proxy.md sets it."""
_NGINX = """\
daemon off; error_log {folder}/error.log warn; pid {folder}/pid; worker_processes 1; user {user};
events {{ worker_connections 2000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/titan.conf;
}}
"""


class TwoBrokers:
    """Two brokers on fixed ports and one store, as two instances of titan-broker@.service are."""

    def __init__(self, folder: Path, store: str, *options: str) -> None:
        self.ports = free_port(), free_port()
        self._options = ("--redis-url", store, "--log-store", str(folder / "logs"), *options)
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int) -> None:
        """Return once it reports that it serves, as `systemctl start` does for a unit with Type=notify."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TITAN_")}
        options = ("--port", str(port), "--drain-delay-s", str(DRAIN_S), "--data-dir", str(self._folder))
        command = [sys.executable, "-m", "broker", "broker", *options, *self._options]
        address = self._folder / f"{port}.notify"
        address.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            (self._folder / f"{port}.log").open("ab") as log,
        ):
            manager.bind(str(address))
            manager.settimeout(20)
            self._running[port] = subprocess.Popen(command, env=clean | {"NOTIFY_SOCKET": str(address)}, stderr=log)
            assert manager.recv(4096).startswith(b"READY=1")

    def stop(self, port: int) -> None:
        """SIGTERM, and wait until it has ended well."""
        process = self._running.pop(port)
        process.terminate()
        assert process.wait(timeout=40) == 0

    def end(self) -> None:
        """Kill those that run."""
        for process in self._running.values():
            process.kill()
            process.wait()


class Proxy:
    """One of the two programs in front of the brokers; `url` is where it listens."""

    def __init__(self, command: list[str], port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        if (
            not eventually(lambda: _answers(port) or self._process.poll() is not None)
            or self._process.poll() is not None
        ):
            self.end()
            pytest.fail(self._output.read_text())

    def end(self) -> None:
        """SIGTERM, and wait."""
        self._process.terminate()
        self._process.wait(timeout=20)


def nginx(program: str, conf: Path, folder: Path, brokers: tuple[int, int]) -> Proxy:
    """Start nginx with the file, its ports replaced."""
    port = free_port()
    text = _with_brokers(conf, brokers)
    (folder / "titan.conf").write_text(_once(r"listen 80;", f"listen 127.0.0.1:{port};", text))
    user = "root" if os.getuid() == 0 else "nobody"
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user=user))
    return Proxy([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], port, folder)


def haproxy(program: str, conf: Path, folder: Path, brokers: tuple[int, int]) -> Proxy:
    """Start HAProxy with the file, its ports replaced."""
    port = free_port()
    (folder / "haproxy.cfg").write_text(_once(r"bind :80\n", f"bind 127.0.0.1:{port}\n", _with_brokers(conf, brokers)))
    return Proxy([program, "-db", "-f", str(folder / "haproxy.cfg")], port, folder)


def where(program: str) -> str | None:
    """The path of a program of /usr/sbin, which is not on everybody's PATH."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return int(here.getsockname()[1])


def _with_brokers(conf: Path, brokers: tuple[int, int]) -> str:
    text = conf.read_text()
    for named, port in zip(("127.0.0.1:8080", "127.0.0.1:8081"), brokers, strict=True):
        assert named in text
        text = text.replace(named, f"127.0.0.1:{port}")
    return text


def _once(pattern: str, put: str, text: str) -> str:
    text, count = re.subn(rf"(?<!# ){pattern}", put, text)
    assert count == 1, pattern
    return text


def _answers(port: int) -> bool:
    with socket.socket() as here:
        here.settimeout(1)
        return here.connect_ex(("127.0.0.1", port)) == 0


def restart_all(brokers: TwoBrokers) -> None:
    """A rolling deploy: `systemctl restart titan-broker@8080 && systemctl restart titan-broker@8081`."""
    for port in brokers.ports:
        brokers.stop(port)
        brokers.start(port)
