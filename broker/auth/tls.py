"""TLS of the broker: its certificate, and the authorities (CAs) that must have issued the certificates of clients."""

import ssl
from collections.abc import Callable

from broker.core.settings import BrokerSettings


class TlsUnusable(ValueError):
    """A file of TLS that cannot be used. The text names the file and the reason, and shows nothing from the file."""


class Tls:
    """The TLS context of a listening server. `reload` changes it for later connections."""

    def __init__(self, cert: str, key: str = "", client_ca: str = "") -> None:
        self._files = cert, key, client_ca
        self._current = self._read()
        self.context = self._read()
        self.context.sni_callback = self._choose

    def reload(self) -> None:
        """Read the files again. Raises TlsUnusable; then the old context stays in use."""
        self._current = self._read()

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _listening: ssl.SSLContext) -> None:
        """Called at each handshake: use the context that was read last."""
        connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        cert, key, client_ca = self._files
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])  # clients that also know HTTP/2 then use HTTP/1.1
        _use(lambda: context.load_cert_chain(cert, key or None, password=""), f"The certificate {cert}", key)
        if client_ca:
            _use(lambda: context.load_verify_locations(client_ca), f"The authorities in {client_ca}")
            context.verify_mode = ssl.CERT_REQUIRED
            context.options |= ssl.OP_NO_TICKET  # a resumed session would skip the check of a reloaded CA
            context.num_tickets = 0
        return context


def tls_from(settings: BrokerSettings) -> Tls | None:
    """TLS with the files of the settings; None for plain HTTP. Raises TlsUnusable."""
    if settings.tls_cert:
        return Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    if settings.tls_key or settings.tls_client_ca:
        raise TlsUnusable("--tls-key and --tls-client-ca need --tls-cert.")
    return None


def _use(load: Callable[[], None], what: str, key: str = "") -> None:
    try:
        load()
    except OSError as error:  # ssl.SSLError is a subclass
        with_key = f" with the key {key}" if key else ""
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise TlsUnusable(f"{what}{with_key} cannot be used: {reason}.") from None
