"""Reads the jobs that wait for each other, around one of them."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from broker.core.errors import NotFound
from broker.core.states import Status
from broker.models.flow import Flow, FlowJob
from broker.resp.partitions import ROUND_S, Partitions

PIECE = 50
"""How many jobs one script call reads at most."""
_IMAGE = '{"image":'
_decoder = json.JSONDecoder()


class Flows:
    """Follows the ties of jobs in both directions, with one script call for each 50 jobs."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def around(self, group: str, job_id: str, n: int) -> Flow:
        """The flow of a job of the group, n jobs at most: fewer when the store is slow. The job is the first.

        A job that is gone is in it when another one waited for it. Raises NotFound.
        """
        p, end = self._partitions.of(group), time.monotonic() + ROUND_S
        jobs: dict[str, FlowJob] = {}
        retries: dict[str, str] = {}
        still, hidden = [job_id], 0
        while still and len(jobs) < n and (not jobs or time.monotonic() < end):
            most = min(PIECE, n - len(jobs))
            left, *rows = await self._partitions.run("flow", p, most, n, " ".join(jobs), " ".join(still))
            still = left.decode().split(" ") if left else []
            for row in rows:
                job = _job_of(row)
                jobs[job.id] = job
                if len(row) > 1:
                    hidden += int(row[9])
                if len(row) > 1 and row[8]:
                    retries[job.id] = row[8].decode()
        if jobs[job_id].group_name != group:
            raise NotFound("There is no such job in this group.")
        return Flow(jobs=_tied(jobs, retries), more=hidden + len(still))


def _job_of(row: Sequence[bytes]) -> FlowJob:
    """A job of the reply of flow.lua; with its id only if it is gone."""
    job_id, *words = (word.decode(errors="replace") for word in row)
    if not words:
        return FlowJob(id=job_id)
    group, status, spec, reason, needs, after, leader, _, _, retried_by = words
    return FlowJob(
        id=job_id,
        group_name=group,
        image=_image_in(spec),
        status=cast("Status", status),
        reason=reason,
        needs=int(needs) if needs.isdigit() else 0,
        parents=after.split(" ") if after else [],
        leader=leader,
        retried_by=retried_by,
    )


def _image_in(spec: str) -> str:
    """The image in the beginning of a spec."""
    with suppress(ValueError):
        if spec.startswith(_IMAGE):
            return str(_decoder.raw_decode(spec, len(_IMAGE))[0])
    return ""


def _tied(jobs: Mapping[str, FlowJob], retries: Mapping[str, str]) -> list[FlowJob]:
    """The jobs: a parent that was retried automatically is its last retry; one that is gone is somebody's parent."""
    for job in jobs.values():
        job.parents = list(dict.fromkeys(_last_retry(parent, retries) for parent in job.parents))
    for job_id, retry_id in retries.items():
        if retry_id in jobs:
            jobs[retry_id].parents.append(job_id)
    named = {parent for job in jobs.values() for parent in (*job.parents, job.leader)}
    return [job for job in jobs.values() if job.status or job.id in named]


def _last_retry(job_id: str, retries: Mapping[str, str]) -> str:
    while job_id in retries:
        job_id = retries[job_id]
    return job_id
