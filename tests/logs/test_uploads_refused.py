"""What is refused of a request that should bring a log."""

import asyncio
import random
import subprocess
import sys
import warnings

import pytest

from broker.http.request.multipart import MAX_OTHER_BYTES, MAX_PARTS
from tests.logs.uploading import END, FORM, LOG, MAX_BYTES, Front, closed, part


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/x-www-form-urlencoded", "application/octet-stream", "text/html",
     "multipart/mixed; boundary=XyZ", "multipart/form-dat", "text/plain2", "nonsense"],
)  # fmt: skip
async def test_log_refuses_another_type(front: Front, kind: str) -> None:
    """Anything but a form or plain text is refused unread."""
    assert await front.send(part("log", LOG) + END, kind=kind) == ("unsupported_type", "", b"")


@pytest.mark.parametrize("kind", [FORM, "text/plain"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", "br", ""])
async def test_log_refuses_a_content_encoding(front: Front, kind: str, encoding: str) -> None:
    """A log is never unpacked."""
    answer = await front.send(part("log", LOG) + END, kind=kind, Content_Encoding=encoding)
    assert answer == ("unsupported_type", "", b"")


@pytest.mark.parametrize(
    "header",
    ["Content-Encoding: gzip", "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: Quoted-Printable",
     "Content-Transfer-Encoding: x-other"],
)  # fmt: skip
async def test_log_refuses_an_encoded_part(front: Front, header: str) -> None:
    """A part that would have to be decoded is refused; elsewhere than at the log it does not matter."""
    assert await front.send(part("log", b"aGVsbG8=", header) + END) == ("unsupported_type", "", b"")
    assert await front.send(part("other", b"aGVsbG8=", header) + part("log", LOG) + END) == ("stored", "", LOG)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (part("log", LOG) + END, "multipart/form-data"),
        (part("log", LOG) + END, "multipart/form-data; boundary="),
        (part("log", LOG) + END, "multipart/form-data; boundary=" + "x" * 71),
        (part("log", LOG) + END, "multipart/form-data; boundary=other"),
        (part("log", LOG) + END, "multipart/form-data; boundary=\xc3\xa9"),
        (b"", FORM),
        (b"no form", FORM),
        (b"--XyZ", FORM),
        (END, FORM),
        (b"--XyZ\r\n" + END, FORM),
        (part("log", LOG), FORM),
        (part("log", LOG)[:-2], FORM),
        (part("log", LOG)[:30], FORM),
        (part("log", LOG) + b"--XyZ", FORM),
        (part("log", LOG) + b"--XyZ\r\n", FORM),
        (part("log", LOG) + b"--XyZrest\r\n" + END, FORM),
        (part("log", LOG) + part("other", b"x"), FORM),
        (part("other", LOG) + END, FORM),
        (part("", LOG) + END, FORM),
        (part("log[]", LOG) + END, FORM),
        (part("log", LOG) + part("log", b"again") + END, FORM),
        (part("log", LOG) + part("file", b"again") + END, FORM),
        (b"--XyZ\r\n\r\n" + LOG + b"\r\n" + END, FORM),
        (b"--XyZ\r\nContent-Disposition: ;;;\r\n\r\n" + LOG + b"\r\n" + END, FORM),
        (b'--XyZ\r\nContent-Disposition: attachment"; name="log\r\n\r\n' + LOG + b"\r\n" + END, FORM),
        (b"--XyZ\r\nno header\r\n\r\n" + LOG + b"\r\n" + END, FORM),
        (b"--XyZ\r\n: x\r\n\r\n" + LOG + b"\r\n" + END, FORM),
        (b"--XyZ\r\nA\x00B: x\r\n\r\n" + LOG + b"\r\n" + END, FORM),
        (part("log", LOG, "X-Long: " + "x" * 9000) + END, FORM),
        (part("log", LOG, *[f"X-{n}: x" for n in range(200)]) + END, FORM),
        (part("log", LOG, "X-Long: " + "x" * 3_000_000) + END, FORM),
        (part("other", b"") * (MAX_PARTS + 1) + part("log", LOG) + END, FORM),
        (part("other", b"") * 20_000 + END, FORM),
        (part("log", b"--In\r\n\r\nx\r\n--In--\r\n", "Content-Type: multipart/mixed; boundary=In") + END, FORM),
        (part("log", b"x", "Content-Type: multipart/mixed") + END, FORM),
        (b"--XyZ\r\nContent-Type: multipart/form-data; boundary=XyZ\r\n\r\n" * 2000, FORM),
        (part("_charset_", b"utf-8" * 9) + part("log", LOG) + END, FORM),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [0, 4096])
async def test_log_refuses_a_broken_form(front: Front, body: bytes, kind: str, chunk: int) -> None:
    """A form that is broken, without a log, or made to wear the broker down is refused, never a fault."""
    answer = await front.send(body, kind=kind, chunk=chunk)
    assert (answer.code, answer.fields) == ("invalid", "log")


@pytest.mark.parametrize(
    "body",
    [
        part("other", b"x" * (MAX_OTHER_BYTES + 1)) + part("log", LOG) + END,
        part("log", LOG) + part("other", b"x" * (MAX_OTHER_BYTES + 1)) + END,
        (part("other", b"x" * (MAX_OTHER_BYTES // 4)) * 5) + part("log", LOG) + END,
    ],
)
async def test_log_refuses_large_other_parts(front: Front, body: bytes) -> None:
    """What is passed over has a limit as well."""
    assert (await front.send(body)).code == "too_large"


async def test_log_refuses_a_content_length_over_the_limit(front: Front) -> None:
    """What says that it is too large is refused before any of it is read."""
    assert await front.send(b"x", kind="text/plain", Content_Length=str(MAX_BYTES + 1)) == ("too_large", "", b"")
    assert await front.send(b"x", Content_Length=str(MAX_BYTES + MAX_OTHER_BYTES + 1)) == ("too_large", "", b"")
    assert (await front.send(b"x" * MAX_BYTES, kind="text/plain")).code == "stored"


@pytest.mark.parametrize("kind", [FORM, "text/plain"])
async def test_log_refuses_a_body_that_breaks_off(front: Front, kind: str) -> None:
    """A client that hangs up before its Content-Length is reached has sent no log."""
    answer = await front.send(part("log", LOG), kind=kind, Content_Length="1000")
    assert answer.code in {"invalid", "cancelled"}


@pytest.mark.parametrize(
    ("begun", "kind"),
    [(b"some text", "text/plain"), (b"", FORM), (b"--XyZ\r\nContent-", FORM), (part("log", LOG)[:-4], FORM)],
)
async def test_log_refuses_a_body_that_pauses_too_long(front: Front, begun: bytes, kind: str) -> None:
    """A client that stops sending for body_timeout_s is told so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n".encode() + begun
    )
    assert (await front.ended.get()).code == "too_slow"
    assert b" 408 " in await reader.readline()
    await closed(writer)


@pytest.mark.parametrize("seed", range(20))
async def test_log_survives_any_bytes(front: Front, seed: int) -> None:
    """A form with bytes changed, lost or doubled is a log or a refusal, never a fault."""
    random.seed(seed)
    body = bytearray(part("a", b"x" * 99) + part("log", LOG, "Content-Type: text/plain") + part("b", b"") + END)
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(body))
        body[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
    answer = await front.send(bytes(body), chunk=random.choice([0, 1, 50]))
    assert answer.code in {"stored", "invalid", "unsupported_type", "too_large"}


@pytest.mark.parametrize(
    "disposition", [b";;;", b'attachment"; name="log', b'form-data; name="log";', b"form-data; n@me"]
)
async def test_log_refuses_a_part_with_a_broken_name(front: Front, disposition: bytes) -> None:
    """Whether it is the first part or a later one; aiohttp prints nothing of it."""
    broken = b"--XyZ\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + LOG + b"\r\n"
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        assert (await front.send(broken + part("log", LOG) + END))[:2] == ("invalid", "log")
        assert (await front.send(part("other", b"x") + broken + part("log", LOG) + END))[:2] == ("invalid", "log")
    assert printed == []


def test_import_changes_no_filter_of_warnings() -> None:
    """The filters are those of the whole process."""
    code = """import warnings, aiohttp.web
before = warnings.filters[:]
import broker.http.app
print(before == warnings.filters)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "True\n"
