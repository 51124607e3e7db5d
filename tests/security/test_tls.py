"""TLS at the door: who is trusted, certificates that change while a broker runs, and callers that must show one."""

import asyncio
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from broker.auth.tls import Tls, TlsUnusable, tls_from
from broker.core.settings import BrokerSettings
from tests.security.certificates import Authority
from tests.system.conftest import Program, folder, titan
from titan.addresses import tls_of
from titan.errors import BrokerUnavailable
from worker.client import Client

__all__ = ["folder", "titan"]

Start = Callable[..., tuple[Program, str]]

slow = [pytest.mark.slow, pytest.mark.service]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that callers trust."""
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another one."""
    return Authority(tmp_path_factory.mktemp("other"), "other")


def groups(url: str, ca: Path, cert: str = "") -> list:
    """What a client gets that trusts this authority and shows this certificate."""

    async def ask() -> list:
        async with Client(url, tls=tls_of(str(ca), cert)) as client:
            return (await client.groups())[0]

    return asyncio.run(ask())


def serial(url: str) -> int:
    """The number of the certificate that a server shows."""
    parts = urlsplit(url)
    pem = ssl.get_server_certificate((parts.hostname, parts.port), timeout=10)
    return hash(pem)


class TestBroker:
    """A broker as a process."""

    pytestmark = slow

    @pytest.fixture
    def broker(self, titan: Callable[..., Program]) -> Start:
        """Starts `titan broker` on a free port with TLS; the program and its address."""

        def start(*words: str) -> tuple[Program, str]:
            program = titan("broker", "--port", "0", *words)
            return program, program.says(r"serves on (https://\S+);")[1]

        return start

    def test_client_trusts_an_authority(self, broker: Start, ours: Authority, other: Authority) -> None:
        """A client with --ca-file reaches the broker; one that trusts others does not, and plain HTTP gets nothing."""
        program, url = broker("--tls-cert", str(ours.certificate("server")))
        assert groups(url, ours.pem) == []
        with pytest.raises(BrokerUnavailable, match="is not trusted"):
            groups(url, other.pem)
        with pytest.raises(BrokerUnavailable):
            groups(url.replace("https:", "http:"), ours.pem)
        assert program.stop() == 0

    def test_command_line_and_worker_trust_an_authority(
        self, broker: Start, titan: Callable[..., Program], ours: Authority
    ) -> None:
        """The command line and a worker take --ca-file; without it they say that the certificate is not trusted."""
        program, url = broker("--tls-cert", str(ours.certificate("server")))
        place = ("--broker-url", url)
        worker = titan("worker", *place, "--ca-file", str(ours.pem), "--run", "hello=cat")
        enqueued = titan("job", "enqueue", "g", "--image", "hello", *place, "--ca-file", str(ours.pem))
        assert enqueued.wait() == 0, enqueued.output
        worker.says("succeeded")
        assert worker.stop() == 0
        refused = titan("group", "list", *place)
        assert refused.wait() == 3
        assert "is not trusted" in refused.output
        assert program.stop() == 0

    def test_certificate_is_read_again_at_hangup(self, broker: Start, ours: Authority) -> None:
        """After SIGHUP new connections get the new certificate; a file that is none leaves the old one in force."""
        cert = ours.certificate("server")
        program, url = broker("--tls-cert", str(cert))
        first = serial(url)
        cert.write_text(ours.certificate("next").read_text())
        assert serial(url) == first
        program.started.send_signal(signal.SIGHUP)
        program.says("read again: the certificate")
        second = serial(url)
        assert second != first
        cert.write_text("nonsense")
        program.started.send_signal(signal.SIGHUP)
        program.says("What was read before stays in force")
        assert serial(url) == second
        assert groups(url, ours.pem) == []
        assert program.stop() == 0

    def test_handshakes_that_do_not_end(self, broker: Start, ours: Authority) -> None:
        """Callers are served while silent ones have every place, and each of those is closed after its time."""
        limits = ("--tls-handshake-timeout-s", "2", "--max-connections", "3")
        program, url = broker("--tls-cert", str(ours.certificate("server")), *limits)
        place = urlsplit(url).hostname, urlsplit(url).port
        began = time.monotonic()
        silent = [socket.create_connection(place, timeout=10) for _ in range(3)]
        assert groups(url, ours.pem) == []
        assert time.monotonic() - began < 2
        assert [line.recv(1) for line in silent] == [b""] * 3
        assert 1.9 <= time.monotonic() - began < 4
        for line in silent:
            line.close()
        assert program.stop() == 0

    def test_callers_must_show_a_certificate(
        self, broker: Start, ours: Authority, other: Authority, tmp_path: Path
    ) -> None:
        """With --tls-client-ca only callers of that authority get in; after SIGHUP, only those of the next one."""
        authorities = tmp_path / "authorities.pem"
        authorities.write_text(ours.pem.read_text())
        program, url = broker("--tls-cert", str(ours.certificate("server")), "--tls-client-ca", str(authorities))
        mine, theirs = str(ours.certificate("caller")), str(other.certificate("stranger"))
        assert groups(url, ours.pem, mine) == []
        for cert in ("", theirs):
            with pytest.raises(BrokerUnavailable):
                groups(url, ours.pem, cert)
        authorities.write_text(other.pem.read_text())
        program.started.send_signal(signal.SIGHUP)
        program.says("read again: the certificate")
        assert groups(url, ours.pem, theirs) == []
        with pytest.raises(BrokerUnavailable):
            groups(url, ours.pem, mine)
        assert program.stop() == 0


@pytest.mark.slow
@pytest.mark.service
def test_healthcheck_speaks_tls(titan: Callable[..., Program], ours: Authority) -> None:
    """The image's health check asks by https, and shows the broker's certificate where one is wanted."""
    cert = str(ours.certificate("server"))
    program = titan("broker", "--port", "0", "--tls-cert", cert, "--tls-client-ca", str(ours.pem))
    port = program.says(r"serves on https://127.0.0.1:(\d+);")[1]
    check = [sys.executable, str(Path(__file__).resolve().parents[2] / "deploy" / "healthcheck.py"), "/readyz"]
    known = {"TITAN_PORT": port, "TITAN_TLS_CERT": cert, "TITAN_TLS_CLIENT_CA": str(ours.pem)}
    for environment, code in ((known, 0), ({**known, "TITAN_TLS_CLIENT_CA": ""}, 1), ({"TITAN_PORT": port}, 1)):
        done = subprocess.run(check, env=environment, capture_output=True, timeout=30, check=False)
        assert done.returncode == code, done.stderr
    assert program.stop() == 0


def test_old_tls_is_refused(ours: Authority) -> None:
    """Nothing below TLS 1.2 is spoken."""
    assert Tls(str(ours.certificate("server"))).context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_files_that_cannot_be_used(ours: Authority, other: Authority, tmp_path: Path) -> None:
    """A start with a wrong file is refused with its name, and nothing of what stands in it."""
    cert = str(ours.certificate("server"))
    (tmp_path / "nonsense").write_text("swordfish")
    wrong = [
        (BrokerSettings(tls_key=cert), "need --tls-cert"),
        (BrokerSettings(tls_client_ca=cert), "need --tls-cert"),
        (BrokerSettings(tls_cert=str(tmp_path / "none")), "No such file"),
        (BrokerSettings(tls_cert=str(tmp_path / "nonsense")), "nonsense cannot be used"),
        (BrokerSettings(tls_cert=cert, tls_key=str(other.certificate("s"))), "KEY_VALUES_MISMATCH"),
        (BrokerSettings(tls_cert=cert, tls_client_ca=str(tmp_path / "nonsense")), "The authorities in"),
    ]
    for settings, said in wrong:
        with pytest.raises(TlsUnusable, match=said) as error:
            tls_from(settings)
        assert "swordfish" not in str(error.value)


def test_key_with_a_passphrase_is_refused(ours: Authority, tmp_path: Path) -> None:
    """A key that wants a passphrase stops the start; nobody is asked for one."""
    key = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:swordfish", "-in", str(ours.certificate("server"))]
    subprocess.run([*command, "-out", str(key)], check=True, capture_output=True, timeout=30)
    with pytest.raises(TlsUnusable, match="cannot be used"):
        Tls(str(ours.certificate("server")), str(key))


def test_client_with_wrong_files(tmp_path: Path) -> None:
    """A worker or a command with a wrong --ca-file or --cert-file names the file."""
    (tmp_path / "nonsense").write_text("swordfish")
    for files in ((str(tmp_path / "nonsense"), ""), ("", str(tmp_path / "nonsense")), (str(tmp_path / "none"), "")):
        with pytest.raises(ValueError, match=str(tmp_path)):
            tls_of(*files)
