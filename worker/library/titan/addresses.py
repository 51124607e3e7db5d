"""The address of a broker, its certificates, and why it cannot be reached; with what to do about it."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

NOT_KNOWN = "Whether the request was carried out is not known."

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_HALF_SCHEME = re.compile(r"https?:?/*", re.IGNORECASE)
_WRONG_HOST = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)


class Names(NamedTuple):
    """What the caller calls each setting, for messages: an argument of this library, or an option of a command."""

    url: str = "url"
    token: str = "token"  # noqa: S105 -- a name
    ca_file: str = "ca_file"
    cert_file: str = "cert_file"


ARGUMENTS = Names()
OPTIONS = Names("--broker-url", "--token-file", "--ca-file", "--cert-file")


def broker_address(text: str, names: Names = ARGUMENTS) -> str:
    """The address of a broker without a / or /v1 at the end. Raises ValueError that says what is wrong."""
    text = text.strip()
    shown = re.sub(r"(^|//)[^/]*@", r"\1", text)  # without the password
    if not text:
        raise ValueError(f"{names.url} names no broker. Write http://HOST:PORT.")
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
    if reason := _address_fault(text, names):
        raise ValueError(f"{shown} is not a broker's address: {reason}.")
    rest = text[found.end() :].rstrip("/")
    return found[0].lower() + (rest.removesuffix("/v1")).rstrip("/")


def tls_of(ca_file: str = "", cert_file: str = "") -> ssl.SSLContext | None:
    """The TLS context for a broker with these authorities and this client certificate; None for the system's default.

    Raises ValueError for an unusable file.
    """
    if not (ca_file or cert_file):
        return None
    at = ca_file
    try:
        tls = ssl.create_default_context(cafile=ca_file or None)
        at = cert_file
        if cert_file:
            tls.load_cert_chain(cert_file)
    except OSError as error:
        raise ValueError(f"{at} cannot be used: {error.strerror or error}") from error
    return tls


def explain_unconnected(error: BaseException, base_url: str, limit_s: float, names: Names = ARGUMENTS) -> str:
    """Why there is no connection, and what to do. Nothing was sent. `limit_s`: how long the client waited, in s."""
    parts = urlsplit(base_url)
    unreachable = "cannot be reached."
    if isinstance(error, socket.gaierror):
        fault = f"{unreachable} {_unknown_host(error, parts, names)}"
    elif isinstance(error, ssl.SSLCertVerificationError):
        fault = f"is not trusted. {_certificate_fault(error, parts, names)}"
    elif isinstance(error, ssl.SSLError):
        fault = f"cannot be spoken with. {_tls_fault(error, parts, names)}"
    elif isinstance(error, (TimeoutError, socket.timeout)) and not getattr(error, "errno", None):
        fault = f"{unreachable} {_connect_timeout(parts, limit_s, names)}"
    else:
        number = error.errno if isinstance(error, OSError) else None
        other = f"{error_text(error)}. Look at {names.url} and at the network."
        fault = f"{unreachable} {_os_faults(names).get(number or 0, other)}"
    return f"The broker at {base_url} {fault}"


def explain_unanswered(
    error: BaseException, base_url: str, limit_s: float, names: Names = ARGUMENTS, *, has_answered: bool
) -> str:
    """Why a request that was sent has no answer, and what to do. `has_answered`: the broker has answered before."""
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"The broker at {base_url} did not answer within {limit_s:g} s. {NOT_KNOWN}"
    if has_answered:
        return f"The broker at {base_url} broke off the connection ({error_text(error)}). {NOT_KNOWN}"
    perhaps = (
        f"If it has TLS, its address is https{base_url[len('http') :]}."
        if base_url.startswith("http:")
        else f"If it asks for a certificate, name one with {names.cert_file}."
    )
    return f"The broker at {base_url} closed the connection without an answer. {NOT_KNOWN} {perhaps}"


def explain_other_protocol(base_url: str, names: Names = ARGUMENTS) -> str:
    """What an answer means that is not HTTP."""
    return f"What answers at {base_url} does not speak HTTP. Look at {names.url}."


def error_text(error: BaseException) -> str:
    """The text of an error of the system, without a full stop; the name of its class if it has none."""
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return text.rstrip(".") or type(error).__name__


def _address_fault(text: str, names: Names) -> str:
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
        return f"it has a user or a password in it; a broker takes a token ({names.token})"
    return "it has a ? or # in it" if parts.query or parts.fragment or text.endswith(("?", "#")) else ""


def _os_faults(names: Names) -> dict[int, str]:
    return {
        errno.ECONNREFUSED: f"Nothing listens there. Start a broker (titan broker), or correct {names.url}.",
        errno.EHOSTUNREACH: f"There is no way to that host. Look at {names.url} and at the network.",
        errno.ENETUNREACH: f"There is no way to that network. Look at {names.url} and at the network.",
        errno.EADDRNOTAVAIL: f"There is no way to that host from here. Look at {names.url} and at the network.",
        errno.EMFILE: "This process has too many open files. Raise its limit (ulimit -n).",
        errno.ENFILE: "This machine has too many open files.",
    }


def _unknown_host(error: OSError, parts: SplitResult, names: Names) -> str:
    if error.errno == socket.EAI_AGAIN:
        return f"The name {parts.hostname} cannot be looked up: no name server answers. Look at the network."
    return f"The name {parts.hostname} is not known. Look for a typo in {names.url}."


def _certificate_fault(error: ssl.SSLCertVerificationError, parts: SplitResult, names: Names) -> str:
    code = getattr(error, "verify_code", 0)
    if code in _WRONG_HOST:
        return f"Its certificate is for another name than {parts.hostname}. Use a name that the certificate has."
    if code in {_EXPIRED, _NOT_YET}:
        when = "has expired" if code == _EXPIRED else "is not valid yet"
        return f"Its certificate {when}. Look at this machine's clock, or renew the certificate."
    reason = getattr(error, "verify_message", "") or str(error)
    unknown = f"No authority that is known here has signed its certificate ({reason})."
    return f"{unknown} Name the authority with {names.ca_file}."


def _connect_timeout(parts: SplitResult, limit_s: float, names: Names) -> str:
    text = f"It did not answer within {limit_s:g} s. Look at {names.url}, and for a firewall between."
    return f"{text} If it has no TLS, its address is http://{parts.netloc}." if parts.scheme == "https" else text


def _tls_fault(error: ssl.SSLError, parts: SplitResult, names: Names) -> str:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return f"It has no TLS at this port. Its address is perhaps http://{parts.netloc}."
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return f"It asks for a certificate. Name one with {names.cert_file}."
    if "ALERT" in reason and ("UNKNOWN_CA" in reason or "CERTIFICATE" in reason):
        return f"It does not trust the certificate of {names.cert_file}."
    return f"TLS failed: {error_text(error)}."
