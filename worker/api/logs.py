"""Calls about the output of jobs: store, read, follow."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from broker.models.jobs import Job, JobWrapper
from titan import calls
from worker.http_session import HttpSession
from worker.responses import decode_answer

_PIECE_BYTES = 256 * 1024
_FOLLOW_PAUSE_S = 60.0


class LogCalls(HttpSession):
    """Calls about the output of jobs: store, read, follow."""

    async def log(
        self,
        group: str,
        job_id: str,
        content: bytes | AsyncIterator[bytes],
        lease: str = "",
        *,
        is_more: bool = False,
    ) -> Job:
        """Store the log of the job, which replaces an earlier one. An iterator is streamed.

        `is_more`: it is the first part of the log of a running job; the whole log follows later.
        """
        request = calls.write_log(group, job_id, content, lease, is_more=is_more).request
        async with self.stream(request) as answer:
            return decode_answer(await answer.read(), JobWrapper, str(answer.url)).job

    async def read_log(
        self, group: str, job_id: str, *, tail: int | None = None, start: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """The log of the job in pieces: from position `start` on, in bytes, or its last `tail` lines.

        Raises NotFound without a log, and BrokerSilent if the answer breaks off.
        """
        request = calls.log(group, job_id, tail, start=start).request
        async with self.stream(request, self.timeout_s) as answer:
            async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                yield piece

    @asynccontextmanager
    async def follow_log(
        self, group: str, job_id: str, *, tail: int | None = None, start: int = 0
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """The position of the first piece, in bytes, and the pieces, until the log is complete.

        They begin at position `start`, or with the last `tail` lines. A broker that stops ends them earlier. Raises
        BrokerSilent after a minute without a piece, or if the answer breaks off: follow again from that position.
        """
        request = calls.log(group, job_id, tail, start=start, is_followed=True).request
        async with self.stream(request, _FOLLOW_PAUSE_S) as answer:
            yield int(answer.headers.get("Titan-Log-Start", start)), answer.content.iter_any()
