"""The Python client, in both forms, against a broker with tokens and TLS."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.certificates import Authority
from tests.security.conftest import Tokens, tokens
from tests.system.conftest import Program
from titan import AsyncClient, Client, Forbidden, TitanError, Unauthorized
from titan.addresses import tls_of
from titan.errors import BrokerUnreachable

__all__ = ["tokens"]

pytestmark = pytest.mark.slow


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of the broker."""
    return Authority(tmp_path, "ours")


@pytest.fixture
def url(tmp_path: Path, authority: Authority, tokens: Tokens) -> Iterator[str]:
    """The address of a broker with TLS, which demands a certificate and a token."""
    tls = ("--tls-cert", str(authority.certificate("server")), "--tls-client-ca", str(authority.pem))
    program = Program("broker", "--port", "0", "--tokens", str(tokens.path), *tls, folder=tmp_path)
    yield program.says(r"serves on (https://\S+);")[1]
    program.stop()
    program.end()


def both(url: str, token: str, ca_file: str, cert_file: str) -> list[str]:
    """What each form says to an enqueue: the name of the error and its text, or the status of the job."""

    def plain() -> str:
        with Client(url, token=token, ca_file=ca_file, cert_file=cert_file, retries=0) as client:
            return client.enqueue("mail", image="send").status

    async def other() -> str:
        async with AsyncClient(url, token=token, tls=tls_of(ca_file, cert_file), retries=0) as client:
            return (await client.enqueue("mail", image="send")).status

    said = []
    for call in (plain, lambda: asyncio.run(other())):
        try:
            said.append(call())
        except TitanError as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


def test_tokens_and_certificates(url: str, authority: Authority, tokens: Tokens, tmp_path: Path) -> None:
    """Both forms reach it with a token and a certificate; each missing part is an error that names it."""
    ca, certificate = str(authority.pem), str(authority.certificate("client"))
    token = tokens.by_name["produce"]
    assert both(url, token, ca, certificate) == ["queued"] * 2
    for said in both(url, "", ca, certificate):
        assert said.startswith(f"{Unauthorized.__name__}: ")
    for said in both(url, tokens.by_name["read"], ca, certificate):
        assert said.startswith(f"{Forbidden.__name__}: ")
    other = str(Authority(tmp_path, "other").pem)
    for said in both(url, token, other, certificate):
        assert said.startswith(f"{BrokerUnreachable.__name__}: The broker at {url} is not trusted.")
        assert said.endswith("Name the authority with ca_file.")
    for said in both(url, token, ca, ""):
        assert "cert_file" in said, said
    plain = url.replace("https", "http")
    for said in both(plain, token, "", ""):
        assert f"If it has TLS, its address is {url}." in said


def test_settings_that_exclude_each_other(authority: Authority) -> None:
    """A context of the caller and files at once are refused."""
    with pytest.raises(ValueError, match="tls is given together with"):
        Client("https://h", tls=tls_of(str(authority.pem)), ca_file=str(authority.pem))
