"""The http runner: the image of a job is an address of the table, which gets the payload in a POST."""

import asyncio
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from broker.models.jobs import Job
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.jobs.retry_after import wait_s
from worker.jobs.texts import MAX_ERROR, class_name, clipped, safe_text
from worker.runners.environment import batch_text, trace_fields
from worker.runners.results import MAX_RESULT_BYTES, result_of_text
from worker.table.entries import HttpEntry

_CONNECT_S = 10.0
_PIECE_BYTES = 64 * 1024
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class HttpRunner:
    """Calls addresses. The body of an answer is the log; one that is JSON by its Content-Type is the result too.

    It follows no redirect and uses no proxy, so that only the table decides who is called.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def run(self, entry: HttpEntry, job: Job, log: Output) -> Outcome:
        """POST the payload; the body of the answer is the log."""
        try:
            async with asyncio.timeout(job.timeout) as limit:
                return await self._call(entry, job, log)
        except TimeoutError:
            if limit.expired():
                return Failed("timeout", f"no whole answer in its timeout of {job.timeout} s")
            return Failed("http_error", "no connection in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failed("http_error", clipped(f"no answer: {safe_text(error) or class_name(error)}", MAX_ERROR))

    async def open(self) -> None:
        """Do nothing: it needs no preparation."""

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Do nothing: the run closes its connection as soon as it can."""

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _call(self, entry: HttpEntry, job: Job, log: Output) -> Outcome:
        session = self._session = self._session or aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
        )
        async with session.post(
            URL(job.image), data=(job.payload or "").encode(), headers=headers_of(entry, job), allow_redirects=False
        ) as answer:
            body, is_json = bytearray(), _is_json(answer.content_type)
            async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                log.write(piece)
                if is_json and len(body) <= MAX_RESULT_BYTES:
                    body += piece
            outcome = _outcome(answer.status, wait_s(answer.headers.get("Retry-After", "")), job)
            return Succeeded(None, *result_of_text(bytes(body))) if isinstance(outcome, Succeeded) else outcome


def headers_of(entry: HttpEntry, job: Job) -> dict[str, str]:
    """The headers of a request: those of the entry, and those that name the job and its batch, which win."""
    batch = batch_text(job)
    return {
        "Content-Type": entry.content_type,
        "User-Agent": "titan-worker",
        **entry.headers,
        "Titan-Job-Id": job.id,
        "Titan-Group": job.group_name,
        "Titan-Delivery": str(job.deliveries),
        **trace_fields(job),
        **({"Titan-Batch": batch} if batch else {}),
        **({"Titan-Schedule": job.schedule, "Titan-Scheduled-For": job.scheduled_for or ""} if job.schedule else {}),
    }


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def _outcome(status: int, retry_after_s: int | None, job: Job) -> Outcome:
    """The outcome of an answer. Under a retry policy of the job a Retry-After is the wait of a failure that counts."""
    if 200 <= status < 300:
        return Succeeded()
    if status in _LATER and retry_after_s is not None and not job.retry:
        return Released(retry_after_s)
    error = f"answered {status}{'; redirects are not followed' if 300 <= status < 400 else ''}"
    return Failed(f"http_{status}", error, retry_after_s=retry_after_s if job.retry else None)
