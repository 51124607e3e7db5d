"""The redis-cli command line that is printed for each kind of address."""

import subprocess
from pathlib import Path

import pytest

from broker.core.words import counted
from broker.resp.redis_cli import redis_cli
from broker.resp.url import addresses
from tests.conftest import server_program, start_server

ASK = "redis-cli -h s1 -p 26379 SENTINEL GET-MASTER-ADDR-BY-NAME"


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("redis://localhost", "redis-cli -h localhost -p 6379"),
        ("redis://ann:secret@h:1/3", "redis-cli -h h -p 1 -n 3 --user USER --askpass"),
        ("redis://:secret@h?db=4", "redis-cli -h h -p 6379 -n 4 --askpass"),
        ("unix:///a%20b/s.sock?db=2", "redis-cli -s '/a b/s.sock' -n 2"),
        ("rediss://[::1]:2/?ssl_ca_certs=/x y.pem", "redis-cli -h ::1 -p 2 --tls --cacert '/x y.pem'"),
        ("rediss://h?ssl_cert_reqs=none", "redis-cli -h h -p 6379 --tls --insecure"),
        ("rediss+cluster://:secret@n1:7000,n2", "redis-cli -c -h n1 -p 7000 --tls --askpass"),
        (
            "redis+sentinel://s1,s2/main/2",
            f"redis-cli $({ASK} main | xargs printf '-h %s -p %s') -n 2",
        ),
    ],
)
def test_command_line(address, line):
    """It has all that redis-cli needs, quoted for a shell, and no user and no password."""
    assert redis_cli(addresses(address)[0]) == line


@pytest.mark.service
def test_command_line_works_as_it_stands(tmp_path: Path) -> None:
    """A shell that is given the line reaches a server whose socket has a space and a quote in its path."""
    folder = tmp_path / "a b'c"
    folder.mkdir()
    url, server = start_server(server_program("redis"), folder)
    try:
        line = redis_cli(addresses(url.replace(" ", "%20"))[0])
        done = subprocess.run(["sh", "-c", f"{line} PING"], capture_output=True, text=True, check=True, timeout=30)
    finally:
        server.terminate()
        server.wait()
    assert done.stdout == "PONG\n"


def test_counted():
    """One of something is in the singular, all other numbers are not."""
    assert [counted(n, "job") for n in (0, 1, 2, 1000)] == ["0 jobs", "1 job", "2 jobs", "1,000 jobs"]
