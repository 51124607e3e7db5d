"""Creates jobs with fields that enqueue.lua does not know: when they are queued, and their deadlines."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from broker.core.timestamps import NOT_GIVEN, milliseconds
from broker.models.jobs import NewJob, PlainJob
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.format.record import Settings, settings_text
from broker.store.format.script_args import NewBatch, new_batches
from broker.store.group_limits import GroupLimits
from broker.store.staging import are_large, stage


def are_plain(jobs: Sequence[PlainJob]) -> bool:
    """Whether enqueue.lua can create them. Jobs of a body that are all plain have a type of their own."""
    return not isinstance(jobs[0], NewJob) or all(map(is_plain, jobs))


def is_plain(job: PlainJob) -> bool:
    """Whether enqueue.lua can create it."""
    return not isinstance(job, NewJob) or (
        job.run_at is None
        and job.start_within is None
        and job.start_before is None
        and job.end_within is None
        and job.end_before is None
    )


class Times(NamedTuple):
    """The times of a new job, as admit.lua takes them: ms; + and ms from its creation on; or ''."""

    due: str
    start_before: str
    end_before: str

    def at(self, created_at: int) -> "list[int]":
        """The times in ms; 0 for those that it does not have. created_at: ms."""
        return [int(text) + (created_at if text.startswith("+") else 0) if text else 0 for text in self]


class Admission(NamedTuple):
    """New jobs of one group. Their settings have no times: those come from the store's clock."""

    group: str
    batches: Sequence[NewBatch]
    times: Sequence[Times]

    def created(self, created_at: int) -> list[NewBatch]:
        """Each job with all its settings, as the store has it. created_at: ms."""
        jobs = [(batch.settings, *pair) for batch in self.batches for pair in zip(batch.ids, batch.specs, strict=True)]
        return [
            NewBatch(self.group, _with_times(settings, times.at(created_at), created_at), [job_id], [spec])
            for (settings, job_id, spec), times in zip(jobs, self.times, strict=True)
        ]


def admission(group: str, jobs: Sequence[PlainJob], ids: Sequence[str], image: str) -> Admission:
    """What `admit` creates. `image`: that of the group, for jobs without one."""
    batches = new_batches(group, [msgspec.structs.replace(job, delay=None) for job in jobs], ids, image)
    return Admission(group, batches, [_times(job) for job in jobs])


async def admit(
    partitions: Partitions, first: Sequence[Word], limits: GroupLimits, broker: str, asked: Admission
) -> Sequence[int | bytes]:
    """The reply of admit.lua; `first`: its arguments before the limits. Raises its refusal."""
    partition = partitions.of(asked.group)
    is_staged = are_large(asked.batches)
    if is_staged:
        await stage(partitions, partition, asked.batches)
    words = (*limits, "" if is_staged else broker, asked.group, "staged" if is_staged else "")
    reply: Sequence[int | bytes] = await partitions.run(
        "admit", partition, *first, *words, *_words(asked, is_staged=is_staged)
    )
    return reply


def _words(asked: Admission, *, is_staged: bool) -> Iterator[Word]:
    times = iter(asked.times)
    for batch in asked.batches:
        settings = settings_text(batch.settings)
        for job_id, spec in zip(batch.ids, batch.specs, strict=True):
            yield from (job_id, "" if is_staged else spec, batch.settings.priority, settings, *next(times))


def _times(job: PlainJob) -> Times:
    if not isinstance(job, NewJob):
        return Times(_time(job.delay or None, None), "", "")
    return Times(
        _time(job.delay or None, job.run_at),
        _time(job.start_within, job.start_before),
        _time(job.end_within, job.end_before),
    )


def _time(within_s: int | None, at: str | None) -> str:
    if at is not None and at != NOT_GIVEN:
        return str(max(0, milliseconds(at)))
    return f"+{within_s * 1000}" if within_s is not None else ""


def _with_times(settings: Settings, times: Sequence[int], created_at: int) -> Settings:
    """The same arithmetic as in admit.lua: a delay is rounded up to whole seconds, `due` has the rest."""
    due, start_before, end_before = times
    delay_s, rest_ms = divmod(max(0, due - created_at), 1000)
    return msgspec.structs.replace(
        settings,
        hooks=int(bool(start_before or end_before)),
        delay=delay_s + bool(rest_ms),
        due=due if rest_ms else 0,
        start_before=start_before,
        end_before=end_before,
    )
