"""Calls about batches."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from broker.core.states import Status
from broker.models.batches import Batch, BatchesWrapper, BatchWrapper, MembersWrapper, NewBatch
from broker.models.jobs import Job, JobsWrapper, NewJob
from titan.calls import JSON, Query, Request, group_path, target
from worker.api.fields import set_fields
from worker.http_session import HttpSession

_CALLBACKS = ("on_failed", "on_succeeded", "on_over")


class BatchCalls(HttpSession):
    """Create, add to, close, cancel, retry, show and list batches."""

    async def create_batch(self, group: str, new: NewBatch, key: str = "") -> Batch:
        """Create a batch with its first members. With a `key` the same call may be repeated for 24 h."""
        body = set_fields(new)
        body["jobs"] = [set_fields(job) for job in new.jobs]
        for name in _CALLBACKS:
            if job := getattr(new, name):
                body[name] = set_fields(job)
        return await self._change(_path(group), {"batch": body}, key)

    async def add_to_batch(
        self, group: str, batch_id: str, jobs: Sequence[NewJob], *, member: str = "", lease: str = "", key: str = ""
    ) -> list[Job]:
        """Add members, all or none; to a closed batch with the id and the lease of a running member."""
        body: dict[str, Any] = {"jobs": [set_fields(job) for job in jobs]}
        if member:
            body |= {"member": member, "lease": lease}
        request = Request("POST", f"{_path(group, batch_id)}/jobs", body, headers=_headers(key))
        return (await self.ask(request, JobsWrapper)).jobs

    async def batch(self, group: str, batch_id: str, *, wait_s: int = 0) -> Batch:
        """A batch. The broker waits for its end for up to `wait_s` (0..30)."""
        request = Request("GET", target(_path(group, batch_id), [("wait", wait_s or "")]), extra_s=wait_s)
        return (await self.ask(request, BatchWrapper)).batch

    async def batches(self, group: str, n: int = 50, cursor: str = "", order: str = "asc") -> BatchesWrapper:
        """A page of the batches of a group by creation, `asc` or `desc`."""
        return await self.get(_path(group), BatchesWrapper, [("n", n), ("cursor", cursor), ("order", order)])

    async def batch_jobs(
        self, group: str, batch_id: str, n: int = 50, cursor: str = "", statuses: Sequence[Status] = ()
    ) -> MembersWrapper:
        """A page of the members of a batch by creation; of several `statuses` those in any of them."""
        query: Query = [("n", n), ("cursor", cursor), *(("status", status) for status in statuses)]
        return await self.get(f"{_path(group, batch_id)}/jobs", MembersWrapper, query)

    async def close_batch(self, group: str, batch_id: str) -> Batch:
        """Add no more members."""
        return await self._change(f"{_path(group, batch_id)}/close")

    async def cancel_batch(self, group: str, batch_id: str) -> Batch:
        """Have the unfinished members cancelled."""
        return await self._change(f"{_path(group, batch_id)}/cancel")

    async def retry_batch(self, group: str, batch_id: str, key: str = "") -> Batch:
        """Create a batch that repeats the members that failed, once; the new batch. A `key` gets it again."""
        return await self._change(f"{_path(group, batch_id)}/retry", key=key)

    async def _change(self, path: str, body: object = None, key: str = "") -> Batch:
        return (await self.ask(Request("POST", path, body, headers=_headers(key)), BatchWrapper)).batch


def _path(group: str, batch_id: str = "") -> str:
    return f"{group_path(group)}/batches" + (f"/{quote(batch_id, safe='')}" if batch_id else "")


def _headers(key: str) -> dict[str, str]:
    return {**JSON, **({"Idempotency-Key": key} if key else {})}
