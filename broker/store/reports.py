"""Touch, succeed, fail, finish and release: what consumers report of running jobs."""

from collections.abc import Sequence

from broker.core.errors import TitanError
from broker.core.states import Status
from broker.core.timestamps import milliseconds
from broker.models.jobs import Job
from broker.models.reports import Finish, Held
from broker.models.workers import Receipt
from broker.store.context import Ground
from broker.store.format.job_json import finished, struct_of
from broker.store.format.replies import job_of
from broker.store.format.script_args import ended, ended_of, receipt_text


class Reporting(Ground):
    """Takes the reports of those who hold jobs."""

    async def touch(self, items: Sequence[Held]) -> list[int | TitanError]:
        """Renew leases: for each item the end of its lease, or NotFound, WrongState, LeaseLost."""
        return await self.hot.touch([(item.group_name, item.id, item.lease or "") for item in items])

    async def succeed(
        self, group: str, job_id: str, lease: str = "", completed_at: int | None = None, receipt: Receipt | None = None
    ) -> Job:
        """Mark a running job as succeeded. Raises NotFound, WrongState, LeaseLost."""
        given = ("", "", completed_at, receipt)
        return struct_of(await self.finish_encoded("succeeded", group, job_id, lease, *given))

    async def fail(
        self,
        group: str,
        job_id: str,
        lease: str = "",
        reason: str = "",
        error: str = "",
        completed_at: int | None = None,
        receipt: Receipt | None = None,
    ) -> Job:
        """Mark a running job as failed, with its automatic retry. Raises NotFound, WrongState, LeaseLost."""
        given = (reason, error, completed_at, receipt)
        return struct_of(await self.finish_encoded("failed", group, job_id, lease, *given))

    async def finish_encoded(
        self,
        status: Status,
        group: str,
        job_id: str,
        lease: str = "",
        reason: str = "",
        error: str = "",
        completed_at: int | None = None,
        receipt: Receipt | None = None,
    ) -> bytes:
        """Do the one or the other; the job as the JSON of the answer."""
        at: str | int = "" if completed_at is None else completed_at
        new_id = self._ids.take(1)[0] if status == "failed" else ""
        report = ended(group, status, job_id, lease, reason, error, at, new_id, receipt_text(receipt, status))
        [row] = await self.hot.finish([report], want="job")
        if isinstance(row, TitanError):
            raise row
        return finished(job_id, row)

    async def finish(self, items: Sequence[Finish]) -> list[TitanError | None]:
        """Succeed and fail many jobs: for each item None, or NotFound, WrongState, LeaseLost."""
        reports = [
            ended_of(
                item,
                milliseconds(item.completed_at) if item.completed_at else "",
                self._ids.take(1)[0] if item.status == "failed" else "",
            )
            for item in items
        ]
        rows = await self.hot.finish(reports)
        return [row if isinstance(row, TitanError) else None for row in rows]

    async def release(
        self, group: str, job_id: str, lease: str = "", delay: int = 0, receipt: Receipt | None = None
    ) -> Job:
        """Give a running job back; the delivery is not counted. Raises NotFound, WrongState, LeaseLost."""
        arguments = (group, job_id, lease, delay, receipt_text(receipt, "released"))
        [row] = await self._run("release", group, self.now, *arguments)
        return job_of(row)
