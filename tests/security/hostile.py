"""Hostile requests, as bytes: each must be refused or closed, and change nothing."""

from collections.abc import Iterator

from tests.api.client import NO_JOB

JOBS, JOB = "/v1/groups/g/jobs", f"/v1/groups/g/jobs/{NO_JOB}"
GOOD = b'{"jobs":[{"image":"i"}]}'
INNER = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request that takes a job, hidden behind another."""
CHUNKED = b"18\r\n" + GOOD + b"\r\n0\r\n\r\n"

NAMES = (
    *(
        "%00",
        "a%00b",
        "%0d%0aX-Evil:1",
        "%0a",
        "..",
        ".",
        "%2e%2e",
        "%2e%2e%2f",
        "a%2Fb",
        "a%5Cb",
        "%2567",
        "*",
        "g%3Ajob",
    ),
    *(
        "%7B0%7D",
        "{0}",
        "a%20b",
        "g%0a",
        "%ff",
        "%C3%A9",
        "%F0%9F%98%80",
        "x" * 129,
        "x" * 4000,
        "%",
        "%zz",
        "a+b",
        "a;b",
    ),
    *(
        "a'--",
        "g%5B%5D",
        "$(x)",
        "`x`",
        "%3Cscript%3E",
        "a%22b",
        "-%E2%80%AE",
        "g%1b[31m",
        "titan:{0}:ready",
        "%ed%a0%80",
    ),
)
VERBS = ("cancel", "retry", "promote", "start", "touch", "success", "error", "release", "wait", "log")
VALUES = (
    "-1",
    "0",
    "1001",
    "1e9",
    "0x1",
    "9" * 400,
    "NaN",
    "null",
    "%00",
    "%ff",
    "1&n=2",
    "[]",
    "1;n=2",
    "%D9%A1",
    "1%0a",
)
BODIES = (
    *(
        b"",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"{",
        b"}",
        b"\xff",
        b"\x00",
        b"\xef\xbb\xbf{}",
        b"{'jobs':[]}",
        b'{"jobs":null}',
    ),
    *(b'{"jobs":{}}', b'{"jobs":[]}', b'{"jobs":[null]}', b'{"jobs":[{}]}', b'{"jobs":[{"image":5}]}', b"[" * 100_000),
    *(b'{"jobs":[{"image":"\\ud800"}]}', b'{"jobs":[{"image":"i","priority":NaN}]}', b'{"jobs":[{"image":"\xff"}]}'),
    *(b'{"jobs":[{"image":"i","timeout":1' + b"0" * 5000 + b"}]}", b'{"a":' * 50_000, b'{"jobs":[{"image":"i"}]} x'),
    *(
        b'{"jobs":[' + b'{"image":"i"},' * 1000 + b'{"image":"i"}]}',
        b'{"jobs":[{"image":"a\\u0000b"}]}',
        b"<x/>",
        b"jobs=1",
    ),
)
TYPES = (
    "text/html",
    "application/xml",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "x" * 3000,
    "a/b; c=\x80",
)
HEADERS = (
    *(
        b"Content-Length: 0\r\nContent-Length: 24",
        b"Content-Length: 24\r\nContent-Length: 25",
        b"Content-Length: 24, 24",
    ),
    *(
        b"Content-Length: +24",
        b"Content-Length: -1",
        b"Content-Length: 0x18",
        b"Content-Length: 24 24",
        b"Content-Length: 2_4",
    ),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: ", b"Content-Length : 24", b" Content-Length: 24"),
    *(b"Content-Length: 24\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 24"),
    *(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    ),
    *(b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding: chunked, identity"),
    *(b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding:\tchunked, chunked"),
    *(
        b"Transfer-Encoding: 'chunked'",
        b"X: a\r\n Transfer-Encoding: chunked",
        b"X: a\x00b",
        b"X: a\x0db",
        b"X: a\rTransfer-Encoding: x",
    ),
    *(
        b"X\x00Y: a",
        b"X Y: a",
        b"X\x80: a",
        b": a",
        b"NoColon",
        b"X: " + b"a" * 20_000,
        b"\r\n".join(b"X%d: a" % n for n in range(300)),
    ),
)
"""Header lines of a POST with a right body, each of which makes it wrong."""
PACKED = (
    *(b"Content-Encoding: gzip\r\nContent-Length: 24", b"Content-Encoding: identity\r\nContent-Length: 24"),
    *(b"Content-Encoding: br\r\nContent-Length: 24", b"Content-Encoding: deflate, gzip\r\nContent-Length: 24"),
    *(b"Content-Encoding: zstd\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked"),
)
"""The same, of a body whose end is plain and whose content is not."""
LINES = (
    *(
        b"",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
    ),
    *(
        b"GET /v1/jobs\r\n\r\n",
        b"GET /v1/jobs HTTP/9.9\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1 x\r\n\r\n",
        b"GET  /v1/jobs HTTP/1.1\r\n\r\n",
    ),
    *(b"G\x00T /v1/jobs HTTP/1.1\r\n\r\n", b"GET /v1/\x00jobs HTTP/1.1\r\n\r\n", b"GET /v1/jo\x80bs HTTP/1.1\r\n\r\n"),
    *(
        b"get /v1/jobs HTTP/1.1\r\n\r\n",
        b"TAKE /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    *(
        b"CONNECT x:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http:///v1/jobs HTTP/1.1\r\n\r\n",
        b"GET //v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    *(
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v1/../v1/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    *(
        b"HEAD /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"TRACE /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\nHost x\n\n",
    ),
    *(
        b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX\x00: y\r\n\r\n",
        b"\x00" * 5000,
    ),
    *(
        b"GET /v1/jobs HTTP/1.1\x0b\r\nHost: localhost\r\n\r\n",
        b"GET\t/v1/jobs\tHTTP/1.1\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n\x00\r\n\r\n",
    ),
)
CHUNKS = (
    *(
        b"zz\r\n" + GOOD,
        b"-1\r\n" + GOOD,
        b"18 \r\n" + GOOD + b"X",
        b"18\n" + GOOD + b"\n0\n\n",
        b"0x18\r\n" + GOOD + b"\r\n0\r\n\r\n",
    ),
    *(
        b"ffffffffffffffffff\r\n" + GOOD,
        b"18\r\n" + GOOD + b"XX0\r\n\r\n",
        b"18\r\n" + GOOD + b"\r\n0\r\nX: y\x00\r\n\r\n",
        b"+18\r\n" + GOOD,
    ),
    *(b"1_8\r\n" + GOOD + b"\r\n0\r\n\r\n", b"18;" + b"a" * 20_000 + b"\r\n" + GOOD, b"\r\n18\r\n" + GOOD),
)
_PART = b"--b\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n"
FORMS = (
    *(
        b"",
        b"--b--\r\n",
        b"--b\r\n",
        b"x" * 1000,
        _PART % (b"x", b"y") + b"--b--\r\n",
        _PART % (b"log", b"y") * 2 + b"--b--\r\n",
    ),
    *(
        _PART % (b"p", b"y") * 5000 + b"--b--\r\n",
        b"--b\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"--b\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ),
    *(
        _PART % (b"x", b"z" * 2_000_000) + b"--b--\r\n",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n--c--\r\n--b--\r\n",
    ),
    *(
        b"--b\r\nContent-Disposition: form-data; name=log\r\nContent-Encoding: gzip\r\n\r\nx\r\n--b--\r\n",
        b"--b\n\nx\n--b--\n",
    ),
    *(b"--b\r\nContent-Disposition: form-data; name=log\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--",),
    *(
        b"--b\r\nContent-Disposition: form-data; name=log; filename=../../../etc/passwd\r\n\r\nx",
        b"--b\r\n\x00: \r\n\r\n",
    ),
)


def request(method: str, path: str, body: bytes = b"", headers: bytes = b"") -> bytes:
    """One request, behind which the connection is closed."""
    length = b"Content-Length: %d\r\n" % len(body) if body or method != "GET" else b""
    lines = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode("latin-1")
    return lines + headers + length + b"\r\n" + body


def corpus(job_id: str) -> list[bytes]:
    """All of them. The job is one that runs, in the group g, and has a log."""
    return [*LINES, *_framed(), *_named(job_id), *_bodies(job_id), *_queries(), *_reports(job_id)]


_JSON = b"Content-Type: application/json\r\n"


def _framed() -> Iterator[bytes]:
    post = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\n".encode() + _JSON
    for header in HEADERS:
        yield post + header + b"\r\n\r\n" + (CHUNKED if b"hunked" in header else GOOD) + INNER
    for header in PACKED:
        yield post + header + b"\r\n\r\n" + (CHUNKED if b"hunked" in header else GOOD)
    for chunks in CHUNKS:
        yield post + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


def _named(job_id: str) -> Iterator[bytes]:
    for name in NAMES:
        yield request("POST", f"/v1/groups/{name}/jobs", GOOD, _JSON)
        yield request("GET", f"/v1/groups/{name}/jobs/{job_id}")
        yield request("DELETE", f"{JOBS}/{name}")
    for name, verb in zip(NAMES, VERBS * 9, strict=False):
        yield request("POST", f"{JOBS}/{name}/{verb}", b"{}", _JSON)


def _bodies(job_id: str) -> Iterator[bytes]:
    for body in BODIES:
        yield request("POST", JOBS, body, _JSON)
        yield request("PUT", "/v1/groups/g", body, _JSON)
        if len(body) > 9000 or not body.startswith(b'{"jobs":['):  # else it has an outcome for each item
            yield request("POST", "/v1/jobs/finish", body, _JSON)
    for kind in TYPES:
        header = f"Content-Type: {kind}\r\n".encode("latin-1")
        yield request("POST", JOBS, GOOD, header)
        yield request("POST", f"{JOBS}/{job_id}/success", b"{}", header)
    for body in FORMS:
        yield request("POST", f"{JOBS}/{job_id}/log", body, b"Content-Type: multipart/form-data; boundary=b\r\n")


def _queries() -> Iterator[bytes]:
    for value in VALUES:
        yield request("GET", f"/v1/jobs?n={value}")
        yield request("GET", f"/v1/jobs?group={value}%2f")
        yield request("GET", f"{JOBS}?status={value}")


def _reports(job_id: str) -> Iterator[bytes]:
    for verb in VERBS:
        yield request("POST", f"{JOB}/{verb}", b'{"reason":"x"}', _JSON)
        if verb not in {"cancel", "retry", "promote"}:  # they have no body, and need no lease
            yield request("POST", f"{JOBS}/{job_id}/{verb}", b"{}", _JSON + b"Content-Encoding: gzip\r\n")
            yield request("POST", f"{JOBS}/{job_id}/{verb}", b"{}", _JSON + b"Titan-Lease: " + b"x" * 65 + b"\r\n")
