"""Creates jobs with fields that enqueue.lua does not know: times, jobs that they wait for, and keys."""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import msgspec

from broker.core.errors import Duplicate, Invalid
from broker.core.timestamps import NOT_GIVEN, milliseconds
from broker.models.jobs import NewJob, PlainJob
from broker.models.unique import MAX_WAIT_DELAYS, OnConflict
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.format.job_json import new_jobs, tied
from broker.store.format.ranks import rank_priority
from broker.store.format.record import Settings, settings_text
from broker.store.format.references import check_edges, in_order, resolved
from broker.store.format.replies import KEY
from broker.store.format.script_args import NewBatch, new_batches
from broker.store.group_limits import GroupLimits
from broker.store.modes import NO_MODE, Mode
from broker.store.staging import are_large, stage

_encode = msgspec.json.Encoder().encode
_PLAIN = 2
"""The words of a job that waits for no other and has no key: its id and its spec."""


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
        and not job.after
        and job.ref is None
        and job.unique is None
        and job.key is None
    )


class Times(NamedTuple):
    """The times of a new job, as admit.lua takes them: ms; + and ms from its creation on; or ''."""

    due: str
    start_before: str
    end_before: str

    def at(self, created_at: int) -> "list[int]":
        """The times in ms; 0 for those that it does not have. created_at: ms."""
        return [int(text) + (created_at if text.startswith("+") else 0) if text else 0 for text in self]


class Ties(NamedTuple):
    """What ties a new job to others, as admit.lua takes it: ids that it waits for, its unique key, and its `key`."""

    after: str
    after_on: str
    key: str
    unique: bytes
    unique_until: str | int
    on_conflict: OnConflict | Literal[""]
    max_wait_ms: int | str
    lane: str


class BatchMembership(NamedTuple):
    """Which batch new jobs are members of. `asked`: its id, and with spaces the id and lease of a running member.

    `fields`: those of a batch that the call opens, and their values.
    """

    asked: str = ""
    fields: Sequence[Word] = ()


NO_BATCH = BatchMembership()
"""The membership of jobs of no batch."""


class Admission(NamedTuple):
    """New jobs of one group, each behind those that it waits for; `order` has their positions in the call.

    Their settings have no times: those come from the store's clock.
    """

    group: str
    batches: Sequence[NewBatch]
    times: Sequence[Times]
    ties: Sequence[Ties]
    order: Sequence[int]
    membership: BatchMembership = NO_BATCH

    def created(self, created_at: int) -> list[NewBatch]:
        """Each job with all its settings, as the store has it. created_at: ms."""
        jobs = [(batch.settings, *pair) for batch in self.batches for pair in zip(batch.ids, batch.specs, strict=True)]
        return [
            NewBatch(self.group, self._settings(settings, times.at(created_at), created_at), [job_id], [spec])
            for (settings, job_id, spec), times in zip(jobs, self.times, strict=True)
        ]

    def _settings(self, settings: Settings, times: Sequence[int], created_at: int) -> Settings:
        whole = _with_times(settings, times, created_at)
        batch = self.membership.asked.partition(" ")[0]
        return msgspec.structs.replace(whole, batch=batch) if batch else whole

    def encoded(self, created_at: int, outcomes: Sequence[str]) -> list[bytes | str]:
        """The JSON of each job in the order of the call; in place of one that was not created the id of its holder.

        created_at: ms. `outcomes` are those of admit.lua, in the order of its words.
        """
        batches = self.created(created_at)
        holders = {
            batch.ids[0]: word[1:] for batch, word in zip(batches, outcomes, strict=True) if word.startswith("=")
        }
        jobs: dict[int, bytes | str] = {}
        for at, encoded, ties, word in zip(self.order, new_jobs(batches, created_at), self.ties, outcomes, strict=True):
            after = [holders.get(job_id, job_id) for job_id in ties.after.split()]
            if word.startswith("="):
                jobs[at] = word[1:]
            else:
                waits = None if word == KEY else int(word)
                jobs[at] = tied(encoded, after, ties.after_on, waits, ties.unique, ties.lane)
        return [jobs[at] for at in range(len(jobs))]

    def made(self, outcomes: Sequence[str]) -> list[str]:
        """The ids of the jobs that are new. `outcomes`: as in `encoded`."""
        ids = (job_id for batch in self.batches for job_id in batch.ids)
        return [job_id for job_id, word in zip(ids, outcomes, strict=True) if not word.startswith("=")]

    def duplicates(self, outcomes: Sequence[str]) -> Iterator[OnConflict]:
        """What each job asks for whose unique key another one holds. `outcomes`: as in `encoded`.

        One that follows the holder waits for one job more than it names in `after`. If one of those had ended already,
        or is the holder, it looks like other jobs, and is not among these.
        """
        for ties, word in zip(self.ties, outcomes, strict=True):
            if ties.on_conflict and (word.startswith("=") or (word != KEY and int(word) > len(ties.after.split()))):
                yield ties.on_conflict

    def located(self, error: Invalid | Duplicate) -> Invalid | Duplicate:
        """The refusal with the field that names the job which does not exist, or the key that another job holds."""
        if isinstance(error, Duplicate):
            ids = list(chain.from_iterable(batch.ids for batch in self.batches))
            return Duplicate(error.message, fields=f"jobs[{self.order[ids.index(error.fields)]}].unique.key")
        for at, ties in zip(self.order, self.ties, strict=True):
            names = ties.after.split()
            if error.fields in names:
                fields = f"jobs[{at}].after[{names.index(error.fields)}]"
                return Invalid(f"{fields}: {error.message}", fields=fields)
        return error


def admission(
    group: str, jobs: Sequence[PlainJob], ids: Sequence[str], image: str, membership: BatchMembership = NO_BATCH
) -> Admission:
    """What `admit` creates. `image`: that of the group, for jobs without one. Raises Invalid for a wrong `after`."""
    given = [job if isinstance(job, NewJob) else NewJob(**msgspec.structs.asdict(job)) for job in jobs]
    if not given:
        return Admission(group, [], [], [], [], membership)
    check_edges(given)
    order, after = in_order(given), resolved(given, ids)
    own = [msgspec.structs.replace(given[at], delay=None) for at in order]
    return Admission(
        group,
        new_batches(group, own, [ids[at] for at in order], image),
        [_times(given[at]) for at in order],
        [_ties(given[at], after[at]) for at in order],
        order,
        membership,
    )


async def admit(
    partitions: Partitions,
    first: Sequence[Word],
    limits: GroupLimits,
    broker: str,
    asked: Admission,
    mode: Mode = NO_MODE,
) -> Sequence[Any]:
    """The reply of admit.lua; `first`: its arguments before the limits. Raises its refusal. `mode`: of the group."""
    partition = partitions.of(asked.group)
    is_staged = are_large(asked.batches)
    if is_staged:
        await stage(partitions, partition, asked.batches)
    words = (*limits, "" if is_staged else broker, asked.group, "staged" if is_staged else "")
    batch = (asked.membership.asked, len(asked.membership.fields), *asked.membership.fields)
    try:
        reply: Sequence[Any] = await partitions.run(
            "admit", partition, *first, *words, *batch, *_words(asked, mode, is_staged=is_staged)
        )
    except (Invalid, Duplicate) as error:
        raise asked.located(error) from None
    return reply


def scheduled_words(
    group: str, job: PlainJob, job_id: str, image: str, schedule: str, scheduled_for: int, mode: Mode
) -> Iterator[Word]:
    """The words of fire.lua for the job of a schedule. `image`, `mode`: those of the group. scheduled_for: ms."""
    asked = admission(group, [job], [job_id], image)
    [batch] = asked.batches
    settings = msgspec.structs.replace(batch.settings, schedule=schedule, scheduled_for=scheduled_for)
    return _words(asked._replace(batches=[batch._replace(settings=settings)]), mode, is_staged=False)


def _words(asked: Admission, mode: Mode, *, is_staged: bool) -> Iterator[Word]:
    """The jobs in parts of neighbours that are alike. With fair_keys those without a key take turns as well."""
    times, ties, parts, boost = iter(asked.times), iter(asked.ties), [], mode.priority_boost or 0
    for batch in asked.batches:
        priority = batch.settings.priority
        same = (rank_priority(priority, boost) if boost else priority, settings_text(batch.settings))
        for job_id, spec in zip(batch.ids, batch.specs, strict=True):
            own = next(ties)
            job: tuple[Word, ...] = (job_id, "" if is_staged else spec)
            if own.after or own.key or own.lane or mode.fair_keys:
                job = (*job, own.after, own.key, own.unique)
            if own.lane or mode.fair_keys:
                job = (*job, own.lane)
            how = (own.after_on, own.unique_until, own.on_conflict, own.max_wait_ms) if len(job) > _PLAIN else ("",) * 4
            parts.append(((len(job), *same, *next(times), *how), job))
    for kind, some in groupby(parts, key=itemgetter(0)):
        jobs = [job for _, job in some]
        yield from (len(jobs), *kind, *chain.from_iterable(jobs))


def _times(job: PlainJob) -> Times:
    if not isinstance(job, NewJob):
        return Times(_time(job.delay or None, None), "", "")
    return Times(
        _time(job.delay or None, job.run_at),
        _time(job.start_within, job.start_before),
        _time(job.end_within, job.end_before),
    )


def _ties(job: NewJob, after: Sequence[str]) -> Ties:
    unique, after_on, lane = job.unique, job.after_on or "succeeded", job.key or ""
    if unique is None:
        return Ties(" ".join(after), after_on, "", b"", "", "", "", lane)
    until = unique.for_ * 1000 if unique.for_ else unique.until or "over"
    max_wait_s = unique.max_wait or MAX_WAIT_DELAYS * (job.delay or 0)
    conflict = unique.on_conflict or "existing"
    return Ties(" ".join(after), after_on, unique.key, _encode(unique), until, conflict, max_wait_s * 1000, lane)


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
