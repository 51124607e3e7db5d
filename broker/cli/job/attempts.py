"""The attempts of a job: each retry is a new job, which `retry_of` and `retry_at` join."""

from collections.abc import Iterable

from broker.core.errors import NotFound
from broker.models.jobs import Job
from worker.client import Client

MAX_ATTEMPTS = 100
"""How many attempts are looked up in one direction at most."""


class AttemptChain:
    """Finds the number of attempts. Each job is looked up once, and `lookups` jobs at most."""

    def __init__(self, client: Client, lookups: int, known: Iterable[Job] = ()) -> None:
        self._client = client
        self.left = lookups
        self._known: dict[str, Job | None] = {job.id: job for job in known}

    async def text(self, job: Job) -> str:
        """Which attempt a job is, of how many: `2/3`. `2+/3+` when earlier ones are deleted or were not looked up."""
        before = await self.before(job)
        first = before[0] if before else job
        is_whole = not first.retry_of or bool(first.dead_letter_of)
        number = len(before) + 1 + (not is_whole)
        more = "" if is_whole else "+"
        return f"{number}{more}/{number + job.max_retries}{more}"

    async def before(self, job: Job) -> list[Job]:
        """The earlier attempts that are kept, the first one first."""
        found: list[Job] = []
        first = job
        while first.retry_of and not first.dead_letter_of and len(found) < MAX_ATTEMPTS:
            earlier = await self._find(job.group_name, first.retry_of)
            if earlier is None:
                break
            first = earlier
            found.insert(0, first)
        return found

    async def after(self, job: Job) -> list[Job]:
        """The later attempts that are kept, in order."""
        found: list[Job] = []
        last = job
        while last.retry_at and len(found) < MAX_ATTEMPTS:
            later = await self._find(job.group_name, last.retry_at)
            if later is None:
                break
            last = later
            found.append(last)
        return found

    async def _find(self, group: str, job_id: str) -> Job | None:
        if job_id not in self._known:
            if self.left <= 0:
                return None
            self.left -= 1
            try:
                self._known[job_id] = await self._client.show(group, job_id)
            except NotFound:
                self._known[job_id] = None
        return self._known[job_id]
