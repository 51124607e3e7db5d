"""The broker's side of TLS: its certificate, and the authorities whose certificates callers must show."""

import ssl
from collections.abc import Callable

from broker.core.settings import BrokerSettings


class TlsUnusable(ValueError):
    """A certificate, key or authority that cannot be used. The text names the file and why, and shows nothing of it."""


class Tls:
    """What a server listens with. `reload` changes it for connections that begin afterwards."""

    def __init__(self, cert: str, key: str = "", client_ca: str = "") -> None:
        self._files = cert, key, client_ca
        self._current = self._read()
        self.context = self._read()
        self.context.sni_callback = self._choose

    def reload(self) -> None:
        """Read the files anew. Raises TlsUnusable, and then what was read before stays in force."""
        self._current = self._read()

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _listening: ssl.SSLContext) -> None:
        """At each handshake: the context that was read last, its certificate and its authorities."""
        connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        cert, key, client_ca = self._files
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])  # whoever can speak HTTP/2 too chooses this
        _use(lambda: context.load_cert_chain(cert, key or None, password=""), f"The certificate {cert}", key)
        if client_ca:
            _use(lambda: context.load_verify_locations(client_ca), f"The authorities in {client_ca}")
            context.verify_mode = ssl.CERT_REQUIRED
            context.options |= ssl.OP_NO_TICKET  # a session taken up again would pass by a new look
            context.num_tickets = 0
        return context


def tls_from(settings: BrokerSettings) -> Tls | None:
    """TLS as the settings have it; None for plain HTTP. Raises TlsUnusable."""
    if settings.tls_cert:
        return Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    if settings.tls_key or settings.tls_client_ca:
        raise TlsUnusable("--tls-key and --tls-client-ca need --tls-cert.")
    return None


def _use(load: Callable[[], None], what: str, key: str = "") -> None:
    try:
        load()
    except OSError as error:  # ssl.SSLError is one too
        with_key = f" with the key {key}" if key else ""
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise TlsUnusable(f"{what}{with_key} cannot be used: {reason}.") from None
