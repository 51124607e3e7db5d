"""Calls of a consumer: take jobs, keep them, report them."""

from collections.abc import Collection, Sequence

from broker.models.jobs import Job, JobsWrapper, JobWrapper
from broker.models.reports import Finish, Held
from broker.models.results import Outcome, Outcomes
from broker.models.workers import Announcement, Orders, Receipt
from titan import calls
from titan.calls import Request, job_path, target
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
        request = calls.next_jobs(groups, images, n, wait_s, lease_s).request
        return (await self.ask(request, JobsWrapper)).jobs

    async def start(self, group: str, job_id: str, lease: str = "") -> Job:
        """Start the job, or restart its lease."""
        request = Request("POST", f"{job_path(group, job_id)}/start", {"lease": lease or None})
        return (await self.ask(request, JobWrapper)).job

    async def touch(self, group: str, job_id: str, lease: str = "") -> str:
        """Renew the lease of one job; its new end, RFC 3339."""
        answer = await self.answer(Request("POST", f"{job_path(group, job_id)}/touch", {"lease": lease or None}))
        return answer.headers.get("Titan-Expires-At") or ""

    async def touch_all(self, items: Sequence[Held]) -> list[Outcome]:
        """Renew the leases of up to 1,000 jobs; one outcome each, in order."""
        return (await self.ask(calls.touch(items).request, Outcomes)).jobs

    async def succeed(self, group: str, job_id: str, lease: str = "", *, result: object = None) -> Job:
        """Report a success, with what the job made, any JSON. May be repeated with the same lease."""
        return (await self.ask(calls.succeed(group, job_id, lease, result=result).request, JobWrapper)).job

    async def fail(
        self,
        group: str,
        job_id: str,
        lease: str = "",
        *,
        reason: str = "",
        error: str = "",
        retry: bool = True,
        retry_after_s: int | None = None,
    ) -> Job:
        """Report a failure. May be repeated with the same lease.

        `retry` False: the job is not tried again. `retry_after_s`: the wait before the next try under a retry policy.
        """
        call = calls.fail(group, job_id, lease, reason=reason, error=error, retry=retry, retry_after=retry_after_s)
        return (await self.ask(call.request, JobWrapper)).job

    async def finish(self, items: Sequence[Finish]) -> list[Outcome]:
        """Report up to 1,000 jobs that succeeded or failed; one outcome each, in order. May be repeated."""
        return (await self.ask(Request("POST", "/jobs/finish", {"jobs": items}), Outcomes)).jobs

    async def release(
        self, group: str, job_id: str, lease: str = "", *, delay_s: int = 0, receipt: Receipt | None = None
    ) -> Job:
        """Requeue the job at its old rank, after a delay if given; the delivery is not counted."""
        call = calls.release(group, job_id, lease, delay=delay_s, receipt=receipt)
        return (await self.ask(call.request, JobWrapper)).job

    async def wait_for(
        self,
        group: str,
        job_id: str,
        lease: str,
        after: Sequence[str],
        after_on: str = "over",
        receipt: Receipt | None = None,
    ) -> Job:
        """Give the job back until other jobs have ended; the delivery is not counted. May be repeated with a lease."""
        return (await self.ask(calls.wait_for(group, job_id, lease, after, after_on, receipt).request, JobWrapper)).job

    async def announce(
        self, worker: Announcement, wait_s: int = 0, seen: str = "", without: Collection[str] = ()
    ) -> Orders:
        """Send a heartbeat of this worker; its order and the cancelled jobs.

        Waits up to `wait_s` (0..30) for an order or a cancelled job. `seen` is that of the previous answer. `without`:
        fields that are not sent, since an older broker refuses them.
        """
        path = target("/workers", [("wait", wait_s or ""), ("seen", seen)])
        body = {name: value for name, value in set_fields(worker).items() if name not in without}
        return await self.ask(Request("POST", path, body, extra_s=wait_s), Orders)
