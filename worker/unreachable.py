"""Explains why a broker cannot be reached and what to do, and checks addresses of brokers."""

import errno
import re
import socket
import ssl
from urllib.parse import SplitResult, urlsplit

import aiohttp

NOT_KNOWN = "Whether the request was carried out is not known."

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_HALF_SCHEME = re.compile(r"https?:?/*", re.IGNORECASE)
_WRONG_HOST = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
_OS_FAULTS = {
    errno.ECONNREFUSED: "Nothing listens there. Start a broker (titan broker), or correct --broker-url.",
    errno.EHOSTUNREACH: "There is no way to that host. Look at --broker-url and at the network.",
    errno.ENETUNREACH: "There is no way to that network. Look at --broker-url and at the network.",
    errno.EADDRNOTAVAIL: "There is no way to that host from here. Look at --broker-url and at the network.",
    errno.EMFILE: "This process has too many open files. Raise its limit (ulimit -n).",
    errno.ENFILE: "This machine has too many open files.",
}


def broker_address(text: str) -> str:
    """The address of a broker without a / or /v1 at the end. Raises ValueError that says what is wrong."""
    text = text.strip()
    shown = re.sub(r"(^|//)[^/]*@", r"\1", text)  # without the password
    if not text:
        raise ValueError("--broker-url names no broker. Write http://HOST:PORT.")
    found = _SCHEME.match(text)
    if found is None:
        rest = _HALF_SCHEME.sub("", shown, count=1) if _HALF_SCHEME.match(shown + "/") else shown
        rest = rest.lstrip("/:")
        rest = rest if rest.isprintable() and " " not in rest and rest else "HOST:PORT"
        raise ValueError(
            f"{shown} does not begin with http:// or https://. "
            f"Write http://{rest}, or https://{rest} for a broker with TLS."
        )
    if found[1].lower() not in {"http", "https"}:
        raise ValueError(f"{shown} begins with {found[1]}://; a broker's address begins with http:// or https://.")
    if reason := _address_fault(text):
        raise ValueError(f"{shown} is not a broker's address: {reason}.")
    return found[0].lower() + text[found.end() :].rstrip("/").removesuffix("/v1").rstrip("/")


def explain_failure(error: BaseException, base_url: str, *, has_answered: bool, limit_s: float) -> str:
    """Why the broker at `root` did not answer, and what to do.

    `is_heard`: it has answered before. `limit_s`: how long the client waited, in s.
    """
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ssl.SSLError)):
        return f"The broker at {base_url} {_connection_fault(error, urlsplit(base_url), limit_s)}"
    if isinstance(error, TimeoutError):
        return f"The broker at {base_url} did not answer within {limit_s:g} s. {NOT_KNOWN}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"What answers at {base_url} does not speak HTTP. Look at --broker-url."
    if has_answered:
        return f"The broker at {base_url} broke off the connection ({_error_text(error)}). {NOT_KNOWN}"
    perhaps = (
        f"If it has TLS, its address is https{base_url.removeprefix('http')}."
        if base_url.startswith("http:")
        else "If it asks for a certificate, name one with --cert-file."
    )
    return f"The broker at {base_url} closed the connection without an answer. {NOT_KNOWN} {perhaps}"


def _connection_fault(error: Exception, parts: SplitResult, limit_s: float) -> str:
    """Why there is no connection, and what to do. Nothing was sent."""
    unreachable = "cannot be reached."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{unreachable} {_unknown_host(error.os_error, parts)}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"{unreachable} {_connect_timeout(parts, limit_s)}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"is not trusted. {_certificate_fault(error.certificate_error, parts)}"
    fault = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(fault, ssl.SSLError):
        return f"cannot be spoken with. {_tls_fault(fault, parts)}"
    other = f"{_error_text(fault)}. Look at --broker-url and at the network."
    number = fault.errno if isinstance(fault, OSError) else None
    return f"{unreachable} {_OS_FAULTS.get(number or 0, other)}"


def _address_fault(text: str) -> str:
    """What is wrong with an address of the right scheme; '' if nothing is."""
    if not text.isprintable() or " " in text:
        return "it has a space or a control character in it"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "its host or its port cannot be read"
    if not host:
        return "it has no host"
    if port == 0 or parts.netloc.endswith(":"):
        return "its port cannot be used"
    if "@" in parts.netloc:
        return "it has a user or a password in it; a broker takes a token (--token-file)"
    return "it has a ? or # in it" if parts.query or parts.fragment or text.endswith(("?", "#")) else ""


def _unknown_host(error: OSError, parts: SplitResult) -> str:
    if error.errno == socket.EAI_AGAIN:
        return f"The name {parts.hostname} cannot be looked up: no name server answers. Look at the network."
    return f"The name {parts.hostname} is not known. Look for a typo in --broker-url."


def _certificate_fault(error: Exception, parts: SplitResult) -> str:
    code = getattr(error, "verify_code", 0)
    if code in _WRONG_HOST:
        return f"Its certificate is for another name than {parts.hostname}. Use a name that the certificate has."
    if code in {_EXPIRED, _NOT_YET}:
        when = "has expired" if code == _EXPIRED else "is not valid yet"
        return f"Its certificate {when}. Look at this machine's clock, or renew the certificate."
    reason = getattr(error, "verify_message", "") or str(error)
    return f"No authority that is known here has signed its certificate ({reason}). Name the authority with --ca-file."


def _connect_timeout(parts: SplitResult, limit_s: float) -> str:
    text = f"It did not answer within {limit_s:g} s. Look at --broker-url, and for a firewall between."
    return f"{text} If it has no TLS, its address is http://{parts.netloc}." if parts.scheme == "https" else text


def _tls_fault(error: ssl.SSLError, parts: SplitResult) -> str:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return f"It has no TLS at this port. Its address is perhaps http://{parts.netloc}."
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return "It asks for a certificate. Name one with --cert-file."
    if "ALERT" in reason and ("UNKNOWN_CA" in reason or "CERTIFICATE" in reason):
        return "It does not trust the certificate of --cert-file."
    return f"TLS failed: {_error_text(error)}."


def _error_text(error: BaseException) -> str:
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return text.rstrip(".") or type(error).__name__
