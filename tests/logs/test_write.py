"""Storing a log, in a folder and in a bucket alike."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from aiohttp import web
from moto.s3.models import S3Backend

from broker.core.errors import NotFound, TooLarge
from broker.core.settings import BrokerSettings
from broker.http.request.multipart import log_pieces
from broker.logs.storage import PART_BYTES, Logs, open_logs
from tests.logs.conftest import MAX_BYTES, S3, Bucket, Place, content, pieces
from tests.logs.uploading import closed, request_bytes, serving

MIB = 1024 * 1024


async def test_write_stores_the_bytes_as_sent(logs: Logs, job_id: str) -> None:
    """What is written is read back byte for byte, also what is no text."""
    assert await logs.write(job_id, pieces(b"one\r\n", b"", b"\xff\x00two")) == 10
    assert await content(logs, job_id) == b"one\r\n\xff\x00two"


async def test_write_stores_an_empty_log(logs: Logs, job_id: str) -> None:
    """A log of no bytes is a log."""
    assert await logs.write(job_id, pieces()) == 0
    assert await content(logs, job_id) == b""


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 12345])
async def test_write_stores_a_log_of_several_parts(logs: Logs, place: Place, job_id: str, size: int) -> None:
    """A log longer than one part of an upload is whole, and nothing else is left."""
    log = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    assert await logs.write(job_id, pieces(*(log[at : at + 99_991] for at in range(0, size, 99_991)))) == size
    assert await content(logs, job_id) == log
    assert not place.unfinished()


async def test_write_replaces_an_earlier_log(logs: Logs, job_id: str) -> None:
    """The second log stands in the place of the first, also when it is shorter."""
    await logs.write(job_id, pieces(b"a" * 6 * MIB))
    await logs.write(job_id, pieces(b"second"))
    assert await content(logs, job_id) == b"second"


async def test_write_takes_a_log_of_just_the_limit(logs: Logs, job_id: str) -> None:
    """The limit itself is allowed."""
    assert await logs.write(job_id, pieces(*[b"a" * MIB] * (MAX_BYTES // MIB))) == MAX_BYTES


@pytest.mark.parametrize("earlier", [b"old\n", None])
async def test_write_keeps_the_old_log_when_the_new_is_too_large(
    logs: Logs, place: Place, job_id: str, earlier: bytes | None
) -> None:
    """One byte over the limit is refused; the old log stays and nothing is left behind."""
    if earlier is not None:
        await logs.write(job_id, pieces(earlier))
    with pytest.raises(TooLarge, match=str(MAX_BYTES)):
        await logs.write(job_id, pieces(*[b"a" * MIB] * (MAX_BYTES // MIB), b"b"))
    assert await content(logs, job_id) == earlier
    assert not place.unfinished()


@pytest.mark.parametrize("size", [0, 3, 11 * MIB])
async def test_write_keeps_the_old_log_when_the_pieces_fail(logs: Logs, place: Place, job_id: str, size: int) -> None:
    """A body that breaks off raises its own error, and leaves everything as it was."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * size
        raise ConnectionResetError("gone")

    await logs.write(job_id, pieces(b"old\n"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await logs.write(job_id, broken())
    assert await content(logs, job_id) == b"old\n"
    assert not place.unfinished()


@pytest.mark.parametrize("size", [0, 3, 11 * MIB])
async def test_write_keeps_the_old_log_when_the_client_hangs_up(
    logs: Logs, place: Place, job_id: str, size: int
) -> None:
    """An upload that is cancelled in the middle leaves everything as it was."""
    waiting = asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield b"a" * size
        waiting.set()
        await asyncio.Event().wait()

    await logs.write(job_id, pieces(b"old\n"))
    upload = asyncio.create_task(logs.write(job_id, halting()))
    await waiting.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await content(logs, job_id) == b"old\n"
    assert not place.unfinished()


@pytest.mark.parametrize("size", [3, 6 * MIB])
async def test_write_keeps_the_old_log_when_a_connection_is_cut(
    logs: Logs, place: Place, job_id: str, size: int
) -> None:
    """A client that hangs up over HTTP before its body is in leaves everything as it was."""
    settings, ended, arrived = BrokerSettings(), asyncio.Event(), asyncio.Event()

    async def watched(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        seen = 0
        async for piece in pieces:
            seen += len(piece)
            if seen == size:
                arrived.set()
            yield piece

    async def handler(request: web.Request) -> web.Response:
        try:
            return web.Response(text=str(await logs.write(job_id, watched(log_pieces(request, settings)))))
        finally:
            ended.set()

    await logs.write(job_id, pieces(b"old\n"))
    async with serving(handler) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(b"x" * size, "text/plain", Content_Length=str(size + 1)))
        await arrived.wait()
        await closed(writer)
        await ended.wait()
    assert await content(logs, job_id) == b"old\n"
    assert not place.unfinished()


async def test_write_leaves_the_old_or_the_new_log_when_cancelled_at_any_time(
    logs: Logs, place: Place, job_id: str
) -> None:
    """Whenever the cancellation comes, the log is the old one or the new one, whole."""
    new = b"n" * 11 * MIB
    for turns in (1, 3, 10, 30, 100):
        await logs.write(job_id, pieces(b"old\n"))
        upload = asyncio.create_task(logs.write(job_id, pieces(*[new[: 256 * 1024]] * 44)))
        for _ in range(turns):
            await asyncio.sleep(0)
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)
        assert await content(logs, job_id) in (b"old\n", new)
        assert not place.unfinished()


@pytest.mark.parametrize("step", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
async def test_write_ends_what_is_in_the_air_when_cancelled(
    aws: S3, job_id: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A request that reached the bucket before the cancellation is waited for, and then taken back or done."""
    place = Bucket(aws.client)
    logs = open_logs(place.address, MAX_BYTES)
    await logs.write(job_id, pieces(b"old\n"))
    new, is_whole = b"n" * 11 * MIB, step.startswith("complete")
    arrived, released, ended, done = Event(), Event(), Event(), getattr(S3Backend, step)

    def held(*given: Any, **named: Any) -> Any:
        arrived.set()
        assert released.wait(10)
        try:
            return done(*given, **named)
        finally:
            ended.set()

    async def sent() -> AsyncIterator[bytes]:
        yield new
        if not is_whole:
            await asyncio.Event().wait()

    monkeypatch.setattr(S3Backend, step, held)
    upload = asyncio.create_task(logs.write(job_id, sent()))
    assert await asyncio.to_thread(arrived.wait, 10)
    upload.cancel()
    for _ in range(10):  # the cancellation goes as far as it can
        await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await asyncio.to_thread(ended.wait, 10)
    assert await content(logs, job_id) == (new if is_whole else b"old\n")
    assert not place.unfinished()


async def test_write_holds_little_in_memory(tmp_path: Path, job_id: str) -> None:
    """A log of 64 MiB takes a few parts of memory, up and down."""
    logs = open_logs(str(tmp_path), 64 * MIB)
    await logs.write(job_id, pieces(b"warm"))
    before, peak = _resident_bytes(), 0

    async def long() -> AsyncIterator[bytes]:
        nonlocal peak
        for _ in range(1024):
            yield b"x" * 64 * 1024
            peak = max(peak, _resident_bytes())

    assert await logs.write(job_id, long()) == 64 * MIB
    size_bytes, stored = await logs.read(job_id)
    async for piece in stored:
        size_bytes -= len(piece)
        peak = max(peak, _resident_bytes())
    assert size_bytes == 0
    assert peak - before < 6 * PART_BYTES


async def test_write_refuses_what_is_no_id(logs: Logs, place: Place) -> None:
    """No path is ever built from anything but an id that the broker made."""
    before = place.objects()
    for hostile in ("../../etc/passwd", "", "a" * 15, "a" * 17, "0123456789abcde/", "0123456789abcd\n"):
        with pytest.raises(NotFound):
            await logs.write(hostile, pieces(b"x"))
        with pytest.raises(NotFound):
            await logs.read(hostile)
        with pytest.raises(NotFound):
            await logs.delete([hostile])
    assert place.objects() == before


async def test_write_tells_apart_ids_that_differ_in_capitals(logs: Logs, place: Place, job_id: str) -> None:
    """Two ids never share a file, also where a file system takes A for a."""
    small, large = job_id[:-1] + "a", job_id[:-1] + "A"
    await logs.write(small, pieces(b"small"))
    await logs.write(large, pieces(b"large"))
    assert await content(logs, small) == b"small"
    assert len({name.lower() for name in place.objects() if job_id[:-1] in name}) == 2


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
