"""A client for the whole HTTP API: one method a verb, bodies as the structs of broker.models.

Every method raises the class of broker.core.errors that the error body names, or BrokerUnavailable without an answer.
No request is sent twice: only the caller knows what is safe to repeat.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from broker.core.states import Status
from broker.models.audit import AuditWrapper
from broker.models.brokers import BrokersWrapper
from broker.models.bulk import Bulk, BulksWrapper, BulkWrapper, NewBulk
from broker.models.failures import MAX_FAILURE_LOOKS, Failures
from broker.models.groups import (
    Group,
    GroupChanges,
    GroupPatch,
    GroupSettings,
    GroupsWrapper,
    GroupWrapper,
)
from broker.models.history import History
from broker.models.jobs import Job, JobsWrapper, JobWrapper, NewJob
from broker.models.reports import Finish, Held
from broker.models.results import Outcome, Outcomes
from broker.models.stats import Stats, Window
from broker.models.why import Explanation
from broker.models.workers import Announcement, Order, Orders, Receipt, Worker, WorkersWrapper, WorkerWrapper
from worker.http_session import HttpSession, Query
from worker.responses import decode_answer

_PIECE_BYTES = 256 * 1024
_FOLLOW_PAUSE_S = 60.0


class Client(HttpSession):
    """The API of a broker: `async with Client(url) as client`. With several addresses, it uses the next when one fails.

    `timeout_s` limits each call as a whole. A long poll has `wait_s` in addition. The transfer of a log may take any
    time, but may not pause for `timeout_s`.
    """

    async def enqueue(self, group: str, jobs: Sequence[NewJob], key: str = "") -> list[Job]:
        """Enqueue all jobs or none. With a `key` the same call may be repeated for 24 h and enqueues once."""
        body = {"jobs": [_set_fields(job) for job in jobs]}
        return (await self.request_json("POST", _jobs(group), JobsWrapper, body, key=key)).jobs

    async def show(self, group: str, job_id: str) -> Job:
        """One job."""
        return (await self.request_json("GET", _job(group, job_id), JobWrapper)).job

    async def find(self, job_id: str) -> Job:
        """A job in whichever group."""
        return (await self.request_json("GET", f"/jobs/{quote(job_id, safe='')}", JobWrapper)).job

    async def history(self, group: str, job_id: str) -> History:
        """What happened to the job."""
        return await self.request_json("GET", f"{_job(group, job_id)}/history", History)

    async def why(self, group: str, job_id: str = "") -> Explanation:
        """Why the job does not run; without an id, why the first queued job of the group does not."""
        return await self.request_json("GET", f"{_job(group, job_id) if job_id else _group(group)}/why", Explanation)

    async def failures(self, group: str, looks: int = MAX_FAILURE_LOOKS) -> Failures:
        """The causes of the group's last failures."""
        return await self.request_json("GET", f"{_group(group)}/failures", Failures, query=[("looks", looks)])

    async def look(self, group: str, filters: Query) -> JobsWrapper:
        """A page of the jobs that pass: `filters` are parameters of a list, such as ("image", "send").

        It may have few jobs, or none, and still a cursor; `looked` and `of` say how many jobs were read.
        """
        return await self.request_json("GET", _jobs(group), JobsWrapper, query=filters)

    async def next(
        self,
        n: int = 1,
        groups: Sequence[str] = (),
        images: Sequence[str] = (),
        *,
        wait_s: int = 0,
        lease_s: int | None = None,
    ) -> list[Job]:
        """Up to n jobs to run now. Waits up to `wait_s` (0..30) for a first one; the lease ends after `lease_s`."""
        query = [("n", n), ("wait", wait_s), ("lease", lease_s or ""), *(("group", group) for group in groups)]
        query += [("image", image) for image in images]
        return (await self.request_json("GET", "/jobs", JobsWrapper, query=query, extra_s=wait_s)).jobs

    async def start(self, group: str, job_id: str, lease: str = "", *, started_at: str = "") -> Job:
        """Start the job, or restart its lease. `started_at` is RFC 3339."""
        body = {"started_at": started_at or None, "lease": lease or None}
        return (await self.request_json("POST", f"{_job(group, job_id)}/start", JobWrapper, body)).job

    async def touch(self, group: str, job_id: str, lease: str = "") -> str:
        """Renew the lease of one job; its new end, RFC 3339."""
        headers = await self.request_headers("POST", f"{_job(group, job_id)}/touch", {"lease": lease or None})
        return headers.get("Titan-Expires-At", "")

    async def touch_all(self, items: Sequence[Held]) -> list[Outcome]:
        """Renew the leases of up to 1,000 jobs; one outcome each, in order."""
        return (await self.request_json("POST", "/jobs/touch", Outcomes, {"jobs": items})).jobs

    async def succeed(self, group: str, job_id: str, lease: str = "", *, completed_at: str = "") -> Job:
        """Report a success. May be repeated with the same lease. `completed_at` is RFC 3339."""
        body = {"completed_at": completed_at or None, "lease": lease or None}
        return (await self.request_json("POST", f"{_job(group, job_id)}/success", JobWrapper, body)).job

    async def fail(
        self, group: str, job_id: str, lease: str = "", *, reason: str = "", error: str = "", completed_at: str = ""
    ) -> Job:
        """Report a failure. May be repeated with the same lease. `completed_at` is RFC 3339."""
        body = {
            "reason": reason or None,
            "error": error or None,
            "completed_at": completed_at or None,
            "lease": lease or None,
        }
        return (await self.request_json("POST", f"{_job(group, job_id)}/error", JobWrapper, body)).job

    async def finish(self, items: Sequence[Finish]) -> list[Outcome]:
        """Report up to 1,000 jobs that succeeded or failed; one outcome each, in order. May be repeated."""
        return (await self.request_json("POST", "/jobs/finish", Outcomes, {"jobs": items})).jobs

    async def release(
        self, group: str, job_id: str, lease: str = "", *, delay_s: int = 0, receipt: Receipt | None = None
    ) -> Job:
        """Requeue the job at its old rank, after a delay if given; the delivery is not counted."""
        body = {"delay": delay_s, "lease": lease or None, "receipt": receipt}
        return (await self.request_json("POST", f"{_job(group, job_id)}/release", JobWrapper, body)).job

    async def cancel(self, group: str, job_id: str) -> Job:
        """Cancel the job; its worker is notified within 2 s."""
        return (await self.request_json("POST", f"{_job(group, job_id)}/cancel", JobWrapper)).job

    async def retry(self, group: str, job_id: str) -> Job:
        """Create a job that repeats a finished one; the new job."""
        return (await self.request_json("POST", f"{_job(group, job_id)}/retry", JobWrapper)).job

    async def promote(self, group: str, job_id: str) -> Job:
        """Queue a delayed job now."""
        return (await self.request_json("POST", f"{_job(group, job_id)}/promote", JobWrapper)).job

    async def remove(self, group: str, job_id: str) -> None:
        """Delete a finished job and its log."""
        await self.request_headers("DELETE", _job(group, job_id))

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
        query = [("more", 1)] if is_more else []
        async with self.stream("POST", f"{_job(group, job_id)}/log", content, query=query, lease=lease) as answer:
            return decode_answer(await answer.read(), JobWrapper, str(answer.url)).job

    async def read_log(
        self, group: str, job_id: str, *, tail: int | None = None, start: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """The log of the job in pieces: from position `start` on, in bytes, or its last `tail` lines.

        Raises NotFound without a log, and BrokerSilent if the answer breaks off.
        """
        query = [("tail", "" if tail is None else tail), ("start", start or "")]
        async with self.stream("GET", f"{_job(group, job_id)}/log", query=query, pause_s=self.timeout_s) as answer:
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
        query = [("follow", 1), ("tail", "" if tail is None else tail), ("start", start or "")]
        async with self.stream("GET", f"{_job(group, job_id)}/log", query=query, pause_s=_FOLLOW_PAUSE_S) as answer:
            yield int(answer.headers.get("Titan-Log-Start", start)), answer.content.iter_any()

    async def announce(
        self, worker: Announcement, wait_s: int = 0, seen: str = "", without: Collection[str] = ()
    ) -> Orders:
        """Send a heartbeat of this worker; its order and the cancelled jobs.

        Waits up to `wait_s` (0..30) for an order or a cancelled job. `seen` is that of the previous answer. `without`:
        fields that are not sent, since an older broker refuses them.
        """
        query = [("wait", wait_s or ""), ("seen", seen)]
        body = {name: value for name, value in _set_fields(worker).items() if name not in without}
        return await self.request_json("POST", "/workers", Orders, body, query=query, extra_s=wait_s)

    async def workers(self, n: int = 50, cursor: str = "") -> tuple[list[Worker], str]:
        """A page of the workers, and the cursor of the next page; "" is the end."""
        page = await self.request_json("GET", "/workers", WorkersWrapper, query=[("n", n), ("cursor", cursor)])
        return page.workers, page.cursor or ""

    async def worker(self, name: str) -> Worker:
        """One worker as it last announced itself."""
        return (await self.request_json("GET", f"/workers/{quote(name, safe='')}", WorkerWrapper)).worker

    async def order(self, name: str, order: Order) -> Worker:
        """Order a worker to be quiet, to resume or to drain; it gets the order within 2 s."""
        path = f"/workers/{quote(name, safe='')}/order"
        return (await self.request_json("POST", path, WorkerWrapper, {"order": order})).worker

    async def brokers(self, n: int = 50, cursor: str = "") -> BrokersWrapper:
        """A page of the brokers of the store, with the layout of the store."""
        return await self.request_json("GET", "/brokers", BrokersWrapper, query=[("n", n), ("cursor", cursor)])

    async def bulk(self, group: str, given: NewBulk, key: str = "") -> Bulk:
        """Begin a bulk; the broker carries it out. With a `key` the same call may be repeated."""
        body = _set_fields(given)
        return (await self.request_json("POST", f"{_group(group)}/bulk", BulkWrapper, body, key=key)).bulk

    async def bulks(self, n: int = 50, cursor: str = "") -> BulksWrapper:
        """A page of the bulks, the newest first."""
        return await self.request_json("GET", "/bulk", BulksWrapper, query=[("n", n), ("cursor", cursor)])

    async def show_bulk(self, bulk_id: str) -> Bulk:
        """One bulk."""
        return (await self.request_json("GET", f"/bulk/{quote(bulk_id, safe='')}", BulkWrapper)).bulk

    async def stop_bulk(self, bulk_id: str) -> Bulk:
        """Stop a bulk."""
        return (await self.request_json("DELETE", f"/bulk/{quote(bulk_id, safe='')}", BulkWrapper)).bulk

    async def audit(self, n: int = 50, cursor: str = "") -> AuditWrapper:
        """A page of the audit, the newest act first."""
        return await self.request_json("GET", "/audit", AuditWrapper, query=[("n", n), ("cursor", cursor)])

    async def groups(self, n: int = 50, cursor: str = "") -> tuple[list[Group], str]:
        """A page of the groups, and the cursor of the next page; "" is the end."""
        page = await self.request_json("GET", "/groups", GroupsWrapper, query=[("n", n), ("cursor", cursor)])
        return page.groups, page.cursor or ""

    async def group(self, name: str) -> Group:
        """One group: its settings and counts."""
        return (await self.request_json("GET", _group(name), GroupWrapper)).group

    async def stats(self, group: str = "", window: Window = "1h") -> Stats:
        """What happened to the jobs of a group, or of all groups, in the last hour or day."""
        path = f"{_group(group)}/stats" if group else "/stats"
        return await self.request_json("GET", path, Stats, query=[("window", window)])

    async def configure(self, name: str, settings: GroupSettings) -> Group:
        """Replace the group's settings; what is not given gets its default."""
        body = {"group": _set_fields(settings)}
        return (await self.request_json("PUT", _group(name), GroupWrapper, body)).group

    async def group_tagged(self, name: str) -> tuple[Group, str]:
        """One group, and the tag of its settings for `adjust`."""
        answer, tag = await self.request_tagged("GET", _group(name), GroupWrapper)
        return answer.group, tag

    async def adjust(self, name: str, changes: GroupChanges, if_match: str = "") -> Group:
        """Change some settings of the group; the others keep their values. Raises Changed if it has another tag."""
        body = GroupPatch(changes)
        return (await self.request_tagged("PATCH", _group(name), GroupWrapper, body, if_match))[0].group

    async def list(  # the last method: after it `list` would no longer be the type
        self,
        group: str,
        n: int = 50,
        *,
        created_after: str = "",
        cursor: str = "",
        statuses: Sequence[Status] = (),
        newest_first: bool = False,
    ) -> tuple[list[Job], str]:
        """A page of a group's jobs, and the cursor of the next page; "" is the end. `created_after` is RFC 3339.

        Of several `statuses` the jobs in any of them are listed.
        """
        order = "desc" if newest_first else "asc"
        query: Query = [("n", n), ("created_after", created_after), ("cursor", cursor), ("order", order)]
        page = await self.request_json(
            "GET", _jobs(group), JobsWrapper, query=[*query, *(("status", status) for status in statuses)]
        )
        return page.jobs, page.cursor or ""


def _group(name: str) -> str:
    return f"/groups/{quote(name, safe='')}"


def _jobs(group: str) -> str:
    return f"{_group(group)}/jobs"


def _job(group: str, job_id: str) -> str:
    return f"{_jobs(group)}/{quote(job_id, safe='')}"


def _set_fields(struct: Struct) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not None}
