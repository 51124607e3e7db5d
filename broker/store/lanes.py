"""The keys of a group's jobs: how many jobs of each are queued, run and are held."""

from broker.core.timestamps import rfc3339
from broker.models.lanes import KeyJobs, KeyJobsWrapper, NoKeyJobs
from broker.resp.partitions import Partitions


class Lanes:
    """Reads how many jobs keys have."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def list(self, group: str, n: int) -> KeyJobsWrapper:
        """The n keys with the most jobs that are queued, run or are held, most first; and the jobs without a key."""
        without, *rows = await self._partitions.run("keys", self._partitions.of(group), group, n)
        found = []
        for key, queued, running, held, oldest_at, turn in rows:
            jobs = KeyJobs(key=key.decode(), queued=queued, running=running, held=held)
            if oldest_at:
                jobs.oldest_at = rfc3339(int(oldest_at))
            if turn:
                jobs.turn = int(turn)
            found.append(jobs)
        listed = KeyJobsWrapper(found)
        if without:
            queued, running, turn = without
            listed.no_key = NoKeyJobs(queued=queued, running=running)
            if turn:
                listed.no_key.turn = int(turn)
        return listed
