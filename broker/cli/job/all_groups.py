"""The jobs of all groups in one list, by time of creation."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from broker.cli.client_options import pages
from broker.core.states import STATUSES, Status
from broker.models.fields import MAX_JOBS
from broker.models.jobs import Job
from worker.client import Client

_PAGE = 100
_AT_ONCE = 8


class GroupJobs:
    """The jobs of one group in one status, or in any, page by page."""

    def __init__(self, client: Client, group: str, parameters: Sequence[tuple[str, str | int]]) -> None:
        self._client = client
        self._group = group
        self._parameters = parameters
        self._jobs: list[Job] = []
        self._cursor: str | None = ""
        self.looked = 0
        self.of = 0

    @property
    def first(self) -> Job | None:
        """The next job of those that were read."""
        return self._jobs[0] if self._jobs else None

    @property
    def has_more(self) -> bool:
        """Whether there are other jobs."""
        return bool(self._jobs or self._cursor)

    def take(self) -> Job:
        """Remove the next job."""
        return self._jobs.pop(0)

    async def read(self) -> None:
        """Read the next page, if there is one."""
        page = await self._client.look(self._group, [*self._parameters, ("cursor", self._cursor or "")])
        self._jobs += page.jobs
        self._cursor = page.cursor or None
        self.looked += page.looked or 0
        self.of = page.of or 0

    async def fill(self) -> None:
        """Read pages until there is a job, or the end."""
        while not self._jobs and self._cursor:
            await self.read()


class AllGroups:
    """A list of the jobs of all groups."""

    def __init__(self, client: Client, statuses: Sequence[Status], *, newest_first: bool) -> None:
        self._client = client
        self._statuses = tuple(dict.fromkeys(statuses))
        self._sign = -1 if newest_first else 1
        self._sources: list[GroupJobs] = []

    @property
    def has_more(self) -> bool:
        """Whether jobs are left."""
        return any(source.has_more for source in self._sources)

    @property
    def looked(self) -> tuple[int, int]:
        """Of a list with filters: how many jobs were read, and of how many."""
        return sum(source.looked for source in self._sources), sum(source.of for source in self._sources)

    async def open(self, parameters: Sequence[tuple[str, str | int]]) -> None:
        """Read the first page of each group that has such jobs. `parameters` are those of a list of one group."""
        async for groups in pages(partial(self._client.groups, MAX_JOBS)):
            for group in groups:
                wanted = [word for word in self._statuses or STATUSES if getattr(group.counts, word)]
                kinds = [[("status", word)] for word in wanted] if self._statuses else [[]] if wanted else []
                self._sources += [GroupJobs(self._client, group.name, [*parameters, *kind]) for kind in kinds]
        slots = asyncio.Semaphore(_AT_ONCE)

        async def read(source: GroupJobs) -> None:
            async with slots:
                await source.read()

        async with asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(read(source))

    async def jobs(self, n: int | None) -> AsyncIterator[list[Job]]:
        """Up to n jobs in order, in parts; all for None.

        With a limit no second page of a group is read, so a group whose first page the filters leave empty has no job.
        """
        heap = [entry for number in range(len(self._sources)) if (entry := await self._entry(number, n))]
        heapq.heapify(heap)
        found: list[Job] = []
        while heap and (n is None or n > 0):
            _, number = heapq.heappop(heap)
            found.append(self._sources[number].take())
            n = None if n is None else n - 1
            if entry := await self._entry(number, n):
                heapq.heappush(heap, entry)
            if len(found) == _PAGE:
                yield found
                found = []
        if found:
            yield found

    async def _entry(self, number: int, n: int | None) -> tuple[Any, int] | None:
        source = self._sources[number]
        if n is None:
            await source.fill()
        if source.first is None:
            return None
        at = int.from_bytes(f"{source.first.created_at}{source.first.id}".encode())
        return self._sign * at, number
