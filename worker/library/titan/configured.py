"""What both forms of the client have in common: their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titan.settings import client_settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence


class ConfiguredClient:
    """The settings of a client. `Client` says what the arguments are."""

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        token: str | None = None,
        ca_file: str = "",
        cert_file: str = "",
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
        retries: int = 5,
    ) -> None:
        self._settings = client_settings(url, token, tls, ca_file, cert_file, timeout_s, retries)
        self._open()

    def _open(self) -> None:
        """Make what the form of the client needs; nothing is sent."""
        raise NotImplementedError
