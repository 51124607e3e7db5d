"""The credentials of a worker: its token, and the certificates for TLS."""

import ssl
from typing import TypedDict

from broker.core.settings_schema import token_from
from titan.addresses import tls_of
from worker.settings import WorkerSettings


class Credentials(TypedDict):
    """Arguments of a client."""

    token: str
    tls: ssl.SSLContext | None


def credentials_of(settings: WorkerSettings) -> Credentials:
    """The token and certificates that the settings name. Raises ValueError, whose text has no secret."""
    return Credentials(token=token_from(settings.token_file), tls=tls_of(settings.ca_file, settings.cert_file))
