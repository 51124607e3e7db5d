"""How the log comes out of a request's body, in every form that is taken."""

import asyncio
import random

import aiohttp
import pytest

from broker.http.request.multipart import MAX_OTHER_BYTES, MAX_PARTS
from tests.logs.uploading import END, FORM, LOG, Front, part


@pytest.mark.parametrize("chunk", [0, 1, 7, 4096])
@pytest.mark.parametrize(
    "body",
    [
        part("log", LOG) + END,
        part("file", LOG) + END,
        part("log", LOG, filename="a.txt") + END,
        part("file", LOG, filename="../../etc/passwd") + END,
        part("log", LOG, "Content-Type: text/plain; charset=latin-1") + END,
        part("log", LOG, "Content-Type: application/octet-stream", filename="") + END,
        part("log", LOG, "Content-Type: application/json") + END,
        part("log", LOG, "Content-Type: image/png", filename="x") + END,
        part("log", LOG, "Content-Type: no type at all") + END,
        part("log", LOG, "Content-Transfer-Encoding: binary") + END,
        part("log", LOG, "Content-Transfer-Encoding: 8Bit") + END,
        part("log", LOG, f"Content-Length: {len(LOG) + 99}") + END,
        part("before", b"x" * 10_000) + part("log", LOG) + part("after", b"x" * 10_000) + END,
        part("logs", b"not this") + part("LOG", b"nor this") + part("log", LOG) + END,
        b"a preamble\r\n" + part("log", LOG) + END + b"an epilogue\r\n",
        part("log", LOG) + b"--XyZ--",
        part("log", LOG).replace(b'name="log"', b"name=log") + END,
    ],
)
async def test_log_takes_every_form(front: Front, body: bytes, chunk: int) -> None:
    """A part named log or file is the log, byte for byte, however the rest of the form and the chunks look."""
    assert await front.send(body, chunk=chunk) == ("stored", "", LOG)


@pytest.mark.parametrize("chunk", [0, 1, 4096])
@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=utf-8", "TEXT/PLAIN", ""])
async def test_log_takes_raw_text(front: Front, kind: str, chunk: int) -> None:
    """A text body is the log, byte for byte; so is one without a type."""
    assert await front.send(LOG, kind=kind, chunk=chunk) == ("stored", "", LOG)


async def test_log_takes_an_empty_log(front: Front) -> None:
    """A log of no bytes is a log, where somebody says that it is one."""
    assert await front.send(b"", kind="text/plain") == ("stored", "", b"")
    assert await front.send(part("log", b"") + END) == ("stored", "", b"")


async def test_log_refuses_a_request_without_body_and_type(front: Front) -> None:
    """A call that was only tried out must not empty a log."""
    assert await front.send(b"", kind="") == ("invalid", "log", b"")


async def test_log_takes_a_long_part(front: Front) -> None:
    """A long part is whole, whatever looks like a boundary in it."""
    random.seed(8)
    log = b"\r\n--XyY".join(random.randbytes(random.randrange(9000)) for _ in range(500))
    for body, kind in ((part("log", log) + END, FORM), (log, "text/plain")):
        answer = await front.send(body, kind=kind)
        assert answer.code == "stored"
        assert answer.log == log


async def test_log_takes_what_an_http_client_sends(front: Front) -> None:
    """The form of a usual client is understood."""
    form = aiohttp.FormData({"note": "x"})
    form.add_field("log", b"hello\n", filename="out.log", content_type="text/plain")
    async with aiohttp.ClientSession() as session, session.post(f"http://127.0.0.1:{front.port}/", data=form) as reply:
        assert reply.status == 200
    assert await front.ended.get() == ("stored", "", b"hello\n")


async def test_log_takes_what_curl_sends(front: Front, tmp_path) -> None:
    """The form of curl -F is understood."""
    (tmp_path / "out.log").write_bytes(LOG)
    for field in (f"log=@{tmp_path}/out.log", f"file=<{tmp_path}/out.log"):
        curl = await asyncio.create_subprocess_exec("curl", "-sfF", field, f"http://127.0.0.1:{front.port}/")
        assert await curl.wait() == 0
        answer = await front.ended.get()
        assert answer == ("stored", "", LOG if "@" in field else answer.log)


async def test_log_takes_as_many_other_parts_as_allowed(front: Front) -> None:
    """The limits themselves are allowed."""
    size = MAX_OTHER_BYTES // MAX_PARTS
    body = part("other", b"x" * size) * (MAX_PARTS - 1) + part("log", LOG) + END
    assert await front.send(body) == ("stored", "", LOG)
