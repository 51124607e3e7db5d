"""The settings of a client, and those that it takes from the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from titan.addresses import ARGUMENTS, broker_address, tls_of
from titan.dialect import OWN_CLIENT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_S = 5.0
"""The most time for one attempt to connect, s."""


class ClientSettings(NamedTuple):
    """Where the brokers are, and how to speak with them."""

    urls: tuple[str, ...]
    headers: dict[str, str]
    tls: ssl.SSLContext | None
    timeout_s: float
    retries: int


def client_settings(
    url: str | Sequence[str] | None,
    token: str | None,
    tls: ssl.SSLContext | None,
    ca_file: str,
    cert_file: str,
    timeout_s: float,
    retries: int,
) -> ClientSettings:
    """The settings of these arguments. Raises ValueError that names the invalid one, and never shows the token."""
    if tls is not None and (ca_file or cert_file):
        raise ValueError("tls is given together with ca_file or cert_file. Give one of them.")
    given = os.environ.get("TITAN_BROKER_URL", "") if url is None else url
    urls = [part for part in given.split(";") if part.strip()] if isinstance(given, str) else list(given)
    if url is None and not urls:
        urls = [DEFAULT_URL]
    token = (os.environ.get("TITAN_TOKEN", "") if token is None else token).strip()
    if not all("!" <= letter <= "~" for letter in token):
        raise ValueError("token is not a token: it has characters other than printable ASCII.")
    return ClientSettings(
        tuple(broker_address(one, ARGUMENTS) for one in urls or [""]),
        headers_of(token),
        tls or tls_of(ca_file, cert_file),
        timeout_s,
        retries,
    )


def headers_of(token: str, version: str = "python") -> dict[str, str]:
    """The headers of every request: the name of its sender, and the token if there is one."""
    agent = {"User-Agent": OWN_CLIENT + version}
    return agent | {"Authorization": f"Bearer {token}"} if token else agent
