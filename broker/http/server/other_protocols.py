"""Recognizes input that is not HTTP/1 by its first bytes, so that its sender gets an answer at once.

Clients of other protocols send a little and wait for the server. An HTTP server that waits for the end of a head keeps
such a connection until its deadline, and the client never learns what is wrong.
"""

import re

from broker.core.errors import Invalid

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE = re.compile(rb"[^ \r\n]+ [^\r\n]* HTTP/[0-9.]+[ \t]*\r?\n")
_LONGEST_METHOD = 32
_HTTP_2 = b"PRI * HTTP/2"
_HANDSHAKE = b"\x16"
"""The first byte of TLS."""


def other_protocol(data: bytes, at: int) -> Invalid | None:
    """The refusal of a known other protocol: HTTP/2, or TLS on a port without TLS. None if it is neither."""
    if data.startswith(_HTTP_2, at):
        return Invalid("HTTP/2 is not supported: send HTTP/1.1.")
    if data.startswith(_HANDSHAKE, at):
        return Invalid("This port speaks plain HTTP, not TLS: use http:// in the address.")
    return None


def no_request(data: bytes, at: int) -> Invalid | None:
    """The refusal of an incomplete head that cannot become a request. None if it still can."""
    method = _METHOD.match(data, at)
    is_method = method is not None and method.end() - at <= _LONGEST_METHOD and data[method.end() :][:1] in {b"", b" "}
    if is_method and (data.find(b"\n", at) < 0 or (_LINE.match(data, at) and not data.startswith(_HTTP_2, at))):
        return None
    return other_protocol(data, at) or Invalid("The request is not valid HTTP.")
