"""Answers as the bytes that leave."""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time

from broker.http.responses import Headers, Response

_NO_CONTENT = 204


def encoded(answer: Response, *, is_last: bool) -> bytes:
    """Head and body. `is_last`: the connection is closed behind it."""
    head = _head(answer.status, answer.headers, is_last, int(time()))
    if answer.status == _NO_CONTENT:
        return head
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(answer.body), answer.body)


@lru_cache(maxsize=256)
def _head(status: int, headers: Headers, is_last: bool, second: int) -> bytes:
    """All but the length: most answers of a second have the same."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Date: {formatdate(second, usegmt=True)}"]
    lines += ["Connection: close"] if is_last else []
    lines += [""] if status != _NO_CONTENT else ["", ""]
    return "\r\n".join(lines).encode("latin-1")
