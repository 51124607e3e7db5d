"""Enqueue of large jobs: what the producer gave is sent ahead of the script that makes the jobs of it.

A script that carries megabytes holds up the store for as long as it takes to copy them a few times. Sent ahead, each
job's spec goes into its hash by a command of its own, between which the store serves others. Such a hash is no job yet,
and is gone after a minute unless the script, which makes all of the jobs or none, keeps it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.format.script_args import NewRun, enqueue_words

LARGE_BYTES = 1024 * 1024
"""Specs of a call that together have more than this are sent ahead."""
KEPT_MS = 60_000


async def run_enqueue(
    partitions: Partitions, partition: str, first: Sequence[Word], runs: Sequence[NewRun], broker: str = ""
) -> Any:
    """What enqueue.lua answers to these runs; `first` are its words before `broker`. Raises its refusal.

    `broker`: what it asks for after this call comes behind the new jobs, unless these are large.
    """
    is_large = sum([len(spec) for run in runs for spec in run.specs]) > LARGE_BYTES
    if is_large:
        await partitions.send(partition, list(_specs(partition, runs)))
        broker = ""
    return await partitions.run("enqueue", partition, *first, broker, *enqueue_words(runs, is_ahead=is_large))


def _specs(partition: str, runs: Sequence[NewRun]) -> Iterator[Sequence[Word]]:
    for run in runs:
        for job_id, spec in zip(run.ids, run.specs, strict=True):
            key = keys.job(partition, job_id)
            yield "HSET", key, "spec", spec
            yield "PEXPIRE", key, KEPT_MS
