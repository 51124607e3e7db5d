"""Finds the jobs of a group that pass some filters, by reading a limited number of them.

No index has these fields, so each answer says how many jobs were read, and of how many. One script call reads at most
250 jobs and 512 KiB, and the store serves other clients in between.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from broker.core.errors import NotFound
from broker.core.states import Status
from broker.models.jobs import BRIEF_LENGTH, Job
from broker.resp.partitions import ROUND_S, Partitions
from broker.resp.resp_connection import Word
from broker.store.failures import cause_of
from broker.store.format.record import spec_of
from broker.store.format.replies import job_of
from broker.store.pagination import ANSWER_BYTES, PIECE, cursor_in, cursor_of, position, set_of
from broker.store.workers import Workers

_encode = msgspec.json.Encoder().encode
_LONGEST_ESCAPE = 6
_CUT_END = b'"}'


class Filters(Struct, frozen=True, kw_only=True):
    """What jobs must have; '' or None is no filter. Times are ms. `text` occurs in the payload.

    A worker has the jobs that it runs, as it last announced, and those that have one of its receipts. A cause has jobs
    that failed, by the name that `cause_of` gives it.
    """

    created_after: int | None = None
    created_before: int | None = None
    completed_after: int | None = None
    completed_before: int | None = None
    image: str = ""
    text: str = ""
    reason: str = ""
    worker: str = ""
    cause: str = ""
    is_unretried: bool = False


class Found(NamedTuple):
    """The jobs that pass, or their rows; the cursor, '' at the end; how many jobs were read, and of how many."""

    rows: list[Any]
    cursor: str
    looked: int
    of: int


class _Request(NamedTuple):
    """What the script calls of one look share. `held`: ids of jobs that the worker of the filters runs."""

    group: str
    filters: Filters
    form: str
    order: str
    sets: tuple[str, ...]
    held: Sequence[str]

    def arguments(self, i: int, n: int, looks: int, begin: str) -> tuple[Word, ...]:
        """The arguments to read sets[i] from a position on."""
        wanted = self.filters
        return (
            *(self.group, " ".join(self.sets), self.sets[i], n, looks, self.order, *position(begin), self.form),
            *("" if at is None else at for at in (wanted.created_after, wanted.created_before)),
            _json(wanted.image),
            _encode(wanted.text)[1:-1],
            wanted.reason,
            _json(wanted.worker),
            1 if wanted.is_unretried else "",
            _times(wanted.completed_after, wanted.completed_before),
            *self.held,
        )


class Looks:
    """Reads jobs and keeps those that pass. Any method may raise StoreUnavailable."""

    def __init__(self, partitions: Partitions, workers: Workers) -> None:
        self._partitions = partitions
        self._workers = workers

    async def jobs(
        self,
        group: str,
        n: int,
        filters: Filters,
        *,
        looks: int,
        cursor: str = "",
        statuses: Sequence[Status] = (),
        newest_first: bool = False,
        is_brief: bool = False,
    ) -> Found:
        """At most n jobs of a group that pass, from at most `looks` jobs. In the order of `Jobs.list`.

        `is_brief`: the payloads are cut. The answer may end early, with a cursor, when the store is slow.
        """
        sets = tuple(dict.fromkeys(statuses)) or ("jobs",)
        order = "desc" if newest_first else "asc"
        held = await self._held_by(filters.worker) if filters.worker else ()
        form = "brief" if is_brief else "whole"
        found = await self._look(_Request(group, filters, form, order, sets, held), n, looks, cursor)
        return found._replace(rows=[_cut(job) for job in found.rows] if is_brief else found.rows)

    async def page(self, group: str, filters: Filters, *, looks: int, cursor: str, statuses: Sequence[Status]) -> Found:
        """The jobs that pass of those that one script call reads, with the beginnings of their payloads."""
        request = _Request(group, filters, "brief", "asc", tuple(statuses), ())
        return await self._look(request, looks, looks, cursor, limit_s=0)

    async def causes(self, group: str, looks: int) -> Found:
        """The failed jobs of a group, newest first: id, completed_at in ms, reason and error of each."""
        return await self._look(_Request(group, Filters(), "cause", "desc", ("failed",), ()), looks, looks, "")

    async def _look(self, request: _Request, n: int, looks: int, cursor: str, limit_s: float = ROUND_S) -> Found:
        i, begin = set_of(cursor, request.sets)
        found: list[Any] = []
        looked, of, size_bytes, end = 0, 0, 0, time.monotonic() + limit_s
        while True:
            arguments = request.arguments(i, n - len(found), min(looks - looked, PIECE), begin)
            reply = await self._partitions.run("look", self._partitions.of(request.group), *arguments)
            score, last, n_read, of, *rows = reply
            found += rows if request.form == "cause" else _matches(rows, request.filters)
            looked, begin = looked + n_read, cursor_of(score, last)
            size_bytes += sum(len(value) for row in rows for value in row)
            i += not begin
            if i == len(request.sets):
                return Found(found, "", looked, of)
            if len(found) >= n or looked >= looks or size_bytes >= ANSWER_BYTES or time.monotonic() >= end:
                return Found(found, cursor_in(request.sets, i, begin), looked, of)

    async def _held_by(self, worker: str) -> Sequence[str]:
        try:
            return (await self._workers.show(worker)).running
        except NotFound:
            return ()


def _matches(rows: Sequence[list[bytes]], filters: Filters) -> list[Job]:
    """The rows as jobs. The script compares JSON, where the text may be a part of an escape: such jobs are left out.

    It knows no causes.
    """
    text, cause = filters.text, filters.cause
    jobs = [job_of(_whole(row)) for row in rows]
    return [job for job in jobs if (not text or text in (job.payload or "")) and (not cause or _is_of(job, cause))]


def _is_of(job: Job, cause: str) -> bool:
    return job.status == "failed" and cause_of(job.reason or "", job.error or "") == cause


def _whole(row: list[bytes]) -> list[bytes]:
    """The row with a spec that is JSON: the script may have cut it inside the payload."""
    if b"spec" not in row[::2]:
        return row
    at = 2 * row[::2].index(b"spec") + 1
    return [*row[:at], _closed(row[at]), *row[at + 1 :]]


def _closed(spec: bytes) -> bytes:
    if spec.endswith(_CUT_END) and _is_spec(spec):
        return spec
    text = spec.decode(errors="ignore").encode()
    ends = (text[: len(text) - cut] + _CUT_END for cut in range(_LONGEST_ESCAPE + 1))
    return next(filter(_is_spec, ends))


def _is_spec(text: bytes) -> bool:
    try:
        spec_of(text)
    except msgspec.DecodeError:
        return False
    return True


def _cut(job: Job) -> Job:
    """The job with the beginning of its payload."""
    if job.payload is not UNSET:
        job.payload = job.payload[:BRIEF_LENGTH]
    return job


def _times(*times: int | None) -> str:
    """The times with a space between them, - for None; '' for none at all."""
    return " ".join("-" if at is None else str(at) for at in times) if any(at is not None for at in times) else ""


def _json(text: str) -> bytes:
    """The text as a JSON string; empty for none."""
    return _encode(text) if text else b""
