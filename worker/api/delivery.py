"""Calls of a consumer: take jobs, keep them, report them."""

from collections.abc import Collection, Sequence

from broker.models.jobs import Job, JobsWrapper, JobWrapper
from broker.models.reports import Finish, Held
from broker.models.results import Outcome, Outcomes
from broker.models.workers import Announcement, Orders, Receipt
from titan.calls import job_path
from worker.api.fields import set_fields
from worker.http_session import HttpSession


class DeliveryCalls(HttpSession):
    """Calls of a consumer: take jobs, keep them, report them."""

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
        return (await self.request_json("POST", f"{job_path(group, job_id)}/start", JobWrapper, body)).job

    async def touch(self, group: str, job_id: str, lease: str = "") -> str:
        """Renew the lease of one job; its new end, RFC 3339."""
        headers = await self.request_headers("POST", f"{job_path(group, job_id)}/touch", {"lease": lease or None})
        return headers.get("Titan-Expires-At", "")

    async def touch_all(self, items: Sequence[Held]) -> list[Outcome]:
        """Renew the leases of up to 1,000 jobs; one outcome each, in order."""
        return (await self.request_json("POST", "/jobs/touch", Outcomes, {"jobs": items})).jobs

    async def succeed(self, group: str, job_id: str, lease: str = "", *, completed_at: str = "") -> Job:
        """Report a success. May be repeated with the same lease. `completed_at` is RFC 3339."""
        body = {"completed_at": completed_at or None, "lease": lease or None}
        return (await self.request_json("POST", f"{job_path(group, job_id)}/success", JobWrapper, body)).job

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
        return (await self.request_json("POST", f"{job_path(group, job_id)}/error", JobWrapper, body)).job

    async def finish(self, items: Sequence[Finish]) -> list[Outcome]:
        """Report up to 1,000 jobs that succeeded or failed; one outcome each, in order. May be repeated."""
        return (await self.request_json("POST", "/jobs/finish", Outcomes, {"jobs": items})).jobs

    async def release(
        self, group: str, job_id: str, lease: str = "", *, delay_s: int = 0, receipt: Receipt | None = None
    ) -> Job:
        """Requeue the job at its old rank, after a delay if given; the delivery is not counted."""
        body = {"delay": delay_s, "lease": lease or None, "receipt": receipt}
        return (await self.request_json("POST", f"{job_path(group, job_id)}/release", JobWrapper, body)).job

    async def announce(
        self, worker: Announcement, wait_s: int = 0, seen: str = "", without: Collection[str] = ()
    ) -> Orders:
        """Send a heartbeat of this worker; its order and the cancelled jobs.

        Waits up to `wait_s` (0..30) for an order or a cancelled job. `seen` is that of the previous answer. `without`:
        fields that are not sent, since an older broker refuses them.
        """
        query = [("wait", wait_s or ""), ("seen", seen)]
        body = {name: value for name, value in set_fields(worker).items() if name not in without}
        return await self.request_json("POST", "/workers", Orders, body, query=query, extra_s=wait_s)
