"""Sends large specs ahead of the script that creates their jobs.

A script that carries megabytes blocks the store while it copies them several times. A staged spec goes into the hash of
its job by a command of its own, and the store serves other clients between two of them.
"""

from collections.abc import Iterable, Iterator, Sequence

from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.format.script_args import NewBatch

LARGE_BYTES = 1024 * 1024
"""Specs of one call with more bytes in all are staged."""
KEPT_MS = 60_000
"""A staged spec expires after this time, unless the script creates its job, ms."""


def bytes_of(batches: Iterable[NewBatch]) -> int:
    """How many bytes the specs of these jobs have."""
    return sum([len(spec) for batch in batches for spec in batch.specs])


def are_large(batches: Iterable[NewBatch]) -> bool:
    """Whether these jobs must be staged."""
    return bytes_of(batches) > LARGE_BYTES


async def stage(partitions: Partitions, partition: str, batches: Iterable[NewBatch]) -> None:
    """Stage the specs of these jobs."""
    await partitions.send(partition, list(_commands(partition, batches)))


def _commands(partition: str, batches: Iterable[NewBatch]) -> Iterator[Sequence[Word]]:
    for batch in batches:
        for job_id, spec in zip(batch.ids, batch.specs, strict=True):
            key = keys.job(partition, job_id)
            yield "HSET", key, "spec", spec
            yield "PEXPIRE", key, KEPT_MS
