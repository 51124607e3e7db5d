"""Next and start: jobs for those who run them; and giving back what reached nobody."""

import asyncio
from collections.abc import Sequence

from broker.core.ids import lease_token
from broker.models.jobs import Job
from broker.store.context import Ground
from broker.store.format.job_json import Handed, struct_of
from broker.store.format.replies import field_of, job_of


class HandingOut(Ground):
    """Hands out jobs, and takes back what was handed out to nobody."""

    async def next(
        self,
        n: int,
        groups: Sequence[str] = (),
        lease_s: int | None = None,
        images: Sequence[str] = (),
        *,
        waits: bool = False,
    ) -> list[Job]:
        """Hand out the first jobs, n at most. Partitions are asked in turn; a fault after some jobs ends the round.

        With `images` only jobs of these; a job that stands behind 200 of other images in its group is not found.

        When the caller is cancelled, what it would have got is given back. `waits`: when there are none, the store is
        to tell this broker of jobs to come.
        """
        handed = await self.next_encoded(n, groups, lease_s, images, waits=waits)
        return [struct_of(one.encoded) for one in handed]

    async def next_encoded(
        self,
        n: int,
        groups: Sequence[str] = (),
        lease_s: int | None = None,
        images: Sequence[str] = (),
        *,
        waits: bool = False,
    ) -> list[Handed]:
        """Do the same; the jobs as the JSON of the answer."""
        if images:
            return await self._picking.next(n, list(dict.fromkeys(groups)), lease_s, images, waits=waits)
        return await self._taking.next(n, tuple(dict.fromkeys(groups)), lease_s, waits=waits)

    async def start(self, group: str, job_id: str, lease: str = "", started_at: int | None = None) -> Job:
        """Say that a job runs; take it when it is queued. Raises NotFound, WrongState, LeaseLost, LimitReached."""
        at: str | int = "" if started_at is None else started_at
        new_lease = lease_token()
        row = await self._run("start", group, self.now, group, job_id, lease, new_lease, at, self._grace_ms)
        return job_of(row, is_handed_out=(field_of(row, "lease") or "").startswith(new_lease))

    def give_back(self, jobs: Sequence[Handed]) -> None:
        """Give back what was handed out to nobody, beside all else; `settle` waits for it."""
        self._giving_back.begin(jobs)

    async def release_all(self, jobs: Sequence[Handed | Job]) -> None:
        """Give back what `next` handed out to a client that is gone; what is no longer running is passed over."""
        await self._giving_back.release_all(jobs)

    async def settle(self) -> None:
        """Wait until everything that goes back to the queue without being asked for has gone back."""
        while waited := {*self._taking.under_way, *self._giving_back.under_way}:
            await asyncio.wait(waited)
