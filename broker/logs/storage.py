"""Stores the logs of jobs in a folder, or in a bucket at S3, Google or Azure. A log is never whole in memory.

The location is a folder or an address: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix. Credentials and
connection come from the environment variables that obstore reads: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
AWS_ENDPOINT_URL, AWS_ALLOW_HTTP (true for an endpoint without TLS) and so on, GOOGLE_SERVICE_ACCOUNT,
AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY; or from the machine's role.

A broker that is killed during an upload leaves a part of it: in a folder a file with # in its name, in a bucket an
unfinished multipart upload, which a lifecycle rule of the bucket should remove.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import LocalStore, from_url

from broker.core.errors import NotFound, TooLarge
from broker.core.ids import is_id
from broker.logs.calls import LogStoreCalls, LogStoreUnavailable, first_line
from broker.metrics.exposition import Family

if TYPE_CHECKING:
    from obstore import AsyncWritableFile, GetOptions
    from obstore.store import ObjectStore, RetryConfig

SCHEMES = ("s3", "gs", "az")
"""The object stores that an address may name."""

PART_BYTES = 5 * 1024 * 1024
"""Size of a part of an upload, held in memory; the smallest that S3 accepts."""

_PARTS_AT_ONCE = 2
_BLOCK_BYTES = 256 * 1024
_DELETES = 1000
_RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}

_log = logging.getLogger(__name__)


def open_logs(place: str, max_bytes: int) -> "Logs":
    """The logs at a location, each of at most max_bytes. A missing folder is created with mode 700.

    Raises ValueError for an unusable address, OSError for an unusable folder. A bucket is not contacted yet.
    """
    scheme, separator, _ = place.partition("://")
    if not separator:
        Path(place).mkdir(mode=0o700, parents=True, exist_ok=True)
        return Logs(LocalStore(prefix=place), max_bytes)
    if scheme not in SCHEMES:
        raise ValueError(f"{scheme}:// is not one of {', '.join(SCHEMES)}, and a folder has no ://.")
    try:
        return Logs(from_url(place, retry_config=_RETRIES), max_bytes)
    except BaseError as error:
        raise ValueError(first_line(error)) from error


class Logs:
    """The logs of jobs, one object each.

    Every method raises LogStoreUnavailable when the log store does not answer or refuses work.
    """

    def __init__(self, store: "ObjectStore", max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._calls = LogStoreCalls()

    async def write(self, job_id: str, pieces: AsyncIterator[bytes]) -> int:
        """Store a log, which replaces an earlier one; its size in bytes.

        Raises TooLarge above the limit, and what the pieces raise. The old log stays then, and also if the call is
        cancelled before the last piece; nothing of the new log remains.
        """
        size_bytes = 0
        upload = obstore.open_writer_async(
            self._store, _name(job_id), buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )
        try:
            async for block in _blocks(pieces):
                size_bytes += len(block)
                if size_bytes > self._max_bytes:
                    raise TooLarge(f"A log may have {self._max_bytes} bytes at most.")
                with self._calls.of("write"):
                    await _to_its_end(upload.write(block))
        except BaseException as error:
            await _abort(upload, error)
            raise
        with self._calls.of("write"):
            await _to_its_end(upload.close())
        self._calls.stored_bytes += size_bytes
        return size_bytes

    def families(self) -> list[Family]:
        """The calls of the log store, and the bytes that it took, as metrics."""
        return self._calls.families()

    async def read(self, job_id: str, start: int = 0) -> tuple[int, AsyncIterator[bytes]]:
        """The size of a log and its pieces from position `start` on, in bytes. Raises NotFound.

        Each piece is one request, so that a slow reader keeps no connection. The pieces raise LogStoreUnavailable if
        the log is replaced or deleted during the read.
        """
        found = await self._find(job_id)
        return found.size_bytes, self._pieces(found, start)

    async def tail(self, job_id: str, lines: int) -> AsyncIterator[bytes]:
        """The pieces of the last lines of a log, searched from its end. Raises NotFound."""
        found = await self._find(job_id)
        return self._pieces(found, await self._start_of_tail(found, lines))

    async def place_of_tail(self, job_id: str, lines: int) -> int:
        """The position of the last lines of a log, in bytes. Raises NotFound."""
        return await self._start_of_tail(await self._find(job_id), lines)

    async def delete(self, job_ids: Sequence[str]) -> None:
        """Delete the logs of these jobs; a job without a log is no error."""
        names = [_name(job_id) for job_id in job_ids]
        for first in range(0, len(names), _DELETES):
            batch = names[first : first + _DELETES]
            with self._calls.of("delete"):
                try:
                    await obstore.delete_async(self._store, batch)
                except FileNotFoundError:
                    await self._delete_singly(batch)

    async def _find(self, job_id: str) -> "_Found":
        name = _name(job_id)
        with self._calls.of("find"):
            try:
                meta = await obstore.head_async(self._store, name)
            except FileNotFoundError:
                raise NotFound("The job has no log.") from None
        return _Found(name, meta["size"], meta["e_tag"])

    async def _pieces(self, found: "_Found", start: int) -> AsyncIterator[bytes]:
        for begin in range(start, found.size_bytes, _BLOCK_BYTES):
            yield await self._piece(found, begin, min(begin + _BLOCK_BYTES, found.size_bytes))

    async def _start_of_tail(self, found: "_Found", lines: int) -> int:
        """The position of the last lines. The last byte is ignored: a newline there ends a line and begins none."""
        if lines < 1:
            return found.size_bytes
        end = found.size_bytes - 1
        while end > 0:
            begin = max(0, end - _BLOCK_BYTES)
            block = await self._piece(found, begin, end)
            newlines = block.count(b"\n")
            if newlines >= lines:
                return begin + _after_last(lines, block)
            lines -= newlines
            end = begin
        return 0

    async def _piece(self, found: "_Found", begin: int, end: int) -> bytes:
        options: GetOptions = {"range": (begin, end)}
        if found.e_tag is not None:
            options["if_match"] = found.e_tag
        with self._calls.of("read"):
            try:
                result = await obstore.get_async(self._store, found.name, options=options)
                return (await result.bytes_async()).to_bytes()
            except (FileNotFoundError, PreconditionError):
                raise LogStoreUnavailable("The log was replaced or deleted while it was read.") from None

    async def _delete_singly(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, name)


class _Found(NamedTuple):
    """A log at the time of the lookup."""

    name: str
    size_bytes: int
    e_tag: str | None


def _name(job_id: str) -> str:
    """The name of the object of a log: a folder from the end of the id, the id, and a mask of its capital letters.

    The mask keeps two ids apart on a file system that ignores case. Raises NotFound for an invalid id.
    """
    if not is_id(job_id):
        raise NotFound
    capitals = sum(letter.isupper() << place for place, letter in enumerate(job_id))
    return f"{job_id[-2:].lower()}/{job_id}.{capitals:04x}.log"


async def _blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, combined into blocks: a client that sends single bytes costs no more than another."""
    block = bytearray()
    async for piece in pieces:
        block += piece
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


async def _to_its_end(request: Awaitable[object]) -> None:
    """Wait until a request to the log store ends, and raise a cancellation only then.

    An abandoned request might start an upload that nobody can abort, or complete one that is being aborted. The library
    limits the time of its requests, and retries for 10 s at most.
    """
    ending = asyncio.ensure_future(request)
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await asyncio.wait([ending])
        raise


async def _abort(upload: "AsyncWritableFile", error: BaseException) -> None:
    """Abort an upload. A further error of the log store is ignored: the first one is raised."""
    with suppress(BaseError, OSError):
        await _to_its_end(upload.__aexit__(type(error), error, error.__traceback__))


def _after_last(lines: int, block: bytes) -> int:
    """The position after the newline before the last lines."""
    at = len(block)
    for _ in range(lines):
        at = block.rfind(b"\n", 0, at)
    return at + 1
