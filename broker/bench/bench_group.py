"""The group of a measurement: its requests, and how it is filled and emptied."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from itertools import repeat

import msgspec
from msgspec import Struct

from broker.bench.http_client import BenchAddress, BenchFailed, BenchResponse, Caller, clock
from broker.core.version import own_version
from broker.models.fields import MAX_JOBS
from broker.models.groups import Counts, GroupSettings, GroupWrapper, Retentions
from titan.dialect import OWN_CLIENT

IMAGE = "titan-bench"

_KEPT = Retentions(succeeded=3600, failed=3600, cancelled=3600)
_NOT_KEPT = Retentions(succeeded=0, failed=0, cancelled=0)
_SUCCEEDED = {"status": "succeeded"}
_STUCK_S = 15.0
_POLL_INTERVAL_S = 0.05


class TakenJob(Struct, frozen=True, gc=False):
    """The fields of a delivered job that the load generator needs."""

    id: str
    group_name: str
    lease: str


class _TakenJobs(Struct, frozen=True):
    jobs: list[TakenJob]


class _Outcome(Struct, frozen=True, gc=False):
    ok: bool = False


class _Outcomes(Struct, frozen=True):
    jobs: list[_Outcome]


_taken = msgspec.json.Decoder(_TakenJobs)
_outcomes = msgspec.json.Decoder(_Outcomes)


class BenchGroup:
    """A group with the name bench-<random>, on one broker."""

    def __init__(self, address: BenchAddress) -> None:
        self.address = address
        self.name = f"bench-{secrets.token_hex(6)}"
        self.path = f"/groups/{self.name}"

    def enqueue(self, n: int = 1, payload_bytes: int = 100) -> bytes:
        """The request that enqueues n jobs."""
        job = {"image": IMAGE, "payload": "x" * payload_bytes}
        return self.address.request("POST", f"{self.path}/jobs", {"jobs": [job] * n})

    def enqueues(self, n: int) -> Iterator[bytes]:
        """An endless sequence of such requests."""
        return repeat(self.enqueue(n))

    def next(self, n: int = 1, wait_s: int = 0) -> bytes:
        """The request that takes up to n jobs."""
        wait = f"&wait={wait_s}" if wait_s else ""
        return self.address.request("GET", f"/jobs?n={n}&group={self.name}{wait}")

    def succeed(self, job: TakenJob) -> bytes:
        """The request that reports the success of one job."""
        return self.address.request(
            "POST", f"/groups/{job.group_name}/jobs/{job.id}/success", headers=f"Titan-Lease: {job.lease}\r\n"
        )

    def touch(self, jobs: Sequence[TakenJob]) -> bytes:
        """The request that renews the leases of these jobs."""
        return self.address.request("POST", "/jobs/touch", {"jobs": [self._report(job) for job in jobs]})

    def finish(self, jobs: Sequence[TakenJob]) -> bytes:
        """The request that reports the success of these jobs."""
        return self.address.request("POST", "/jobs/finish", {"jobs": [self._report(job) | _SUCCEEDED for job in jobs]})

    async def open(self) -> None:
        """Create the group, or configure it for another measurement. Raises BenchFailed."""
        await self._configure(GroupSettings(retention=_KEPT))

    async def fill(self, n: int, payload_bytes: int = 100) -> None:
        """Enqueue n jobs. Raises BenchFailed."""
        caller = await Caller().open(self.address)
        request = self.enqueue(MAX_JOBS, payload_bytes)
        for _ in range(n // MAX_JOBS):
            accepted(await caller.call(request))
        if n % MAX_JOBS:
            accepted(await caller.call(self.enqueue(n % MAX_JOBS, payload_bytes)))
        caller.close()

    async def counts(self) -> Counts:
        """The number of its jobs by status. Raises BenchFailed."""
        answer = await self._call(self.address.request("GET", self.path))
        return msgspec.json.decode(answer.body, type=GroupWrapper).group.counts

    async def check(self, jobs: int) -> None:
        """Raise BenchFailed if fewer than `jobs` jobs are queued, because another consumer took some."""
        queued = (await self.counts()).queued
        if queued < jobs:
            raise BenchFailed(f"Another consumer took {jobs - queued} of the jobs: give your workers --group.")

    async def finish_all(self) -> None:
        """Take and finish all queued jobs. Raises BenchFailed."""
        caller = await Caller().open(self.address)
        while jobs := taken(accepted(await caller.call(self.next(MAX_JOBS)))):
            accepted(await caller.call(self.finish(jobs)))
        caller.close()

    async def empty(self) -> None:
        """Finish all queued jobs, and wait until the reaper has deleted them. Raises BenchFailed."""
        try:
            await self._configure(GroupSettings(retention=_NOT_KEPT))
            await self.finish_all()
            await self._wait_until_deleted()
        except BenchFailed as error:
            raise type(error)(f"{error} Jobs of the group {self.name} may be left.") from error

    async def _wait_until_deleted(self) -> None:
        least, end = sum(msgspec.structs.astuple(await self.counts())), clock() + _STUCK_S
        while least:
            await asyncio.sleep(_POLL_INTERVAL_S)
            left = sum(msgspec.structs.astuple(await self.counts()))
            if left < least:
                least, end = left, clock() + _STUCK_S
            elif clock() > end:
                raise BenchFailed(f"{left} jobs are not deleted: no reaper runs, or another consumer holds them.")

    async def _configure(self, settings: GroupSettings) -> None:
        body = {name: value for name, value in msgspec.structs.asdict(settings).items() if value is not None}
        name = f"User-Agent: {OWN_CLIENT}{own_version()}\r\n"  # a broker with a dialect refuses it
        await self._call(self.address.request("PUT", self.path, {"group": body}, name))

    async def _call(self, request: bytes) -> BenchResponse:
        caller = await Caller().open(self.address)
        answer = accepted(await caller.call(request))
        caller.close()
        return answer

    @staticmethod
    def _report(job: TakenJob) -> dict[str, str]:
        return {"group_name": job.group_name, "id": job.id, "lease": job.lease}


def accepted(answer: BenchResponse) -> BenchResponse:
    """The response. Raises BenchFailed for a refusal."""
    if answer.is_refusal:
        raise BenchFailed(f"The broker answered {answer}")
    return answer


def taken(answer: BenchResponse) -> list[TakenJob]:
    """The jobs in a response to `next`."""
    return _taken.decode(answer.body).jobs


def not_ok(answer: BenchResponse) -> int:
    """The number of refused items of a bulk call."""
    return sum(not outcome.ok for outcome in _outcomes.decode(answer.body).jobs)
