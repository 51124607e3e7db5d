"""Calls about jobs: enqueue, look, change."""

from collections.abc import Sequence
from urllib.parse import quote

from broker.core.states import Status
from broker.models.flow import DEFAULT_FLOW_JOBS, Flow
from broker.models.history import History
from broker.models.inputs import Input, InputsWrapper
from broker.models.jobs import Job, JobsWrapper, JobWrapper, NewJob, RetriedWrapper
from broker.models.unique import HeldKey, HeldKeysWrapper, HeldKeyWrapper
from broker.models.why import Explanation
from titan import calls
from titan.calls import Query, Request, group_path, job_path
from worker.api.fields import set_fields
from worker.http_session import HttpSession


class JobCalls(HttpSession):
    """Calls about jobs: enqueue, look, change."""

    async def enqueue(self, group: str, jobs: Sequence[NewJob], key: str = "", *, wait_s: int = 0) -> list[Job]:
        """Enqueue all jobs or none. With a `key` the same call may be repeated for 24 h and enqueues once.

        `wait_s` (0..30): how long the broker waits for the end of the only job.
        """
        request = calls.enqueue_fields(group, [set_fields(job) for job in jobs], key, wait_s=wait_s).request
        return (await self.ask(request, JobsWrapper)).jobs

    async def show(self, group: str, job_id: str, *, wait_s: int = 0) -> Job:
        """One job. The broker waits for its end for up to `wait_s` (0..30)."""
        return (await self.ask(calls.get(group, job_id, wait_s).request, JobWrapper)).job

    async def find(self, job_id: str) -> Job:
        """A job in whichever group."""
        return (await self.get(f"/jobs/{quote(job_id, safe='')}", JobWrapper)).job

    async def history(self, group: str, job_id: str) -> History:
        """What happened to the job."""
        return await self.get(f"{job_path(group, job_id)}/history", History)

    async def flow(self, group: str, job_id: str, n: int = DEFAULT_FLOW_JOBS) -> Flow:
        """The jobs that wait for each other around a job, n (1..1000) at most."""
        return await self.get(f"{job_path(group, job_id)}/flow", Flow, [("n", n)])

    async def why(self, group: str, job_id: str = "") -> Explanation:
        """Why the job does not run; without an id, why the first queued job of the group does not."""
        return await self.get(f"{job_path(group, job_id) if job_id else group_path(group)}/why", Explanation)

    async def look(self, group: str, filters: Query) -> JobsWrapper:
        """A page of the jobs that pass: `filters` are parameters of a list, such as ("image", "send").

        It may have few jobs, or none, and still a cursor; `looked` and `of` say how many jobs were read.
        """
        return await self.ask(calls.page(group, filters).request, JobsWrapper)

    async def unique_key(self, group: str, key: str) -> HeldKey:
        """Which job holds a unique key."""
        return (await self.get(f"{group_path(group)}/unique/{quote(key, safe='')}", HeldKeyWrapper)).unique

    async def unique_keys(self, group: str, n: int = 50, cursor: str = "") -> HeldKeysWrapper:
        """A page of the unique keys of a group that jobs hold."""
        return await self.get(f"{group_path(group)}/unique", HeldKeysWrapper, [("n", n), ("cursor", cursor)])

    async def free_unique_key(self, group: str, key: str) -> HeldKey:
        """Free a unique key; which job held it."""
        request = Request("DELETE", f"{group_path(group)}/unique/{quote(key, safe='')}")
        return (await self.ask(request, HeldKeyWrapper)).unique

    async def inputs(self, group: str, job_id: str) -> list[Input]:
        """What the job got from those that it waited for, in the order of its `after`."""
        return (await self.get(f"{job_path(group, job_id)}/inputs", InputsWrapper)).inputs

    async def cancel(self, group: str, job_id: str) -> Job:
        """Cancel the job; its worker is notified within 2 s."""
        return (await self.ask(calls.cancel(group, job_id).request, JobWrapper)).job

    async def retry(self, group: str, job_id: str) -> Job:
        """Create a job that repeats a finished one; the new job."""
        return (await self.ask(calls.retry(group, job_id).request, JobWrapper)).job

    async def retry_flow(self, group: str, job_id: str) -> RetriedWrapper:
        """The same, and the jobs that were cancelled since it did not succeed; they wait for each other as before."""
        return await self.ask(calls.retry(group, job_id, has_dependants=True).request, RetriedWrapper)

    async def promote(self, group: str, job_id: str) -> Job:
        """Queue a delayed job now."""
        return (await self.ask(calls.promote(group, job_id).request, JobWrapper)).job

    async def remove(self, group: str, job_id: str) -> None:
        """Delete a finished job and its log."""
        await self.answer(calls.delete(group, job_id).request)

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
        page = await self.look(group, [*query, *(("status", status) for status in statuses)])
        return page.jobs, page.cursor or ""
