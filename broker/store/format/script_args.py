"""Builds the arguments of scripts for many jobs: batches of jobs that share group and settings, which are sent once."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, groupby
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from broker.models.bulk import RetryChanges
from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, DEFAULT_TIMEOUT_S, NewJob, PlainJob
from broker.models.reports import Finish, Held
from broker.models.retries import Retry
from broker.models.workers import Receipt
from broker.store.format.policies import members_of
from broker.store.format.ranks import NO_BOOSTS, rank_priority
from broker.store.format.record import Settings, Spec, settings_text
from broker.store.format.traces import with_trace

Word = str | int | bytes
Words = list[Word]
_encode = msgspec.json.Encoder().encode
_DEFAULTS = {
    "delay": 0,
    "timeout": DEFAULT_TIMEOUT_S,
    "priority": 0,
    "max_retries": 0,
    "retries_delay": DEFAULT_RETRIES_DELAY_S,
}


class NewBatch(NamedTuple):
    """New jobs of one group with the same settings: their ids and specs."""

    group: str
    settings: Settings
    ids: Sequence[str]
    specs: Sequence[bytes]


HeldWords = tuple[Word, ...]
"""A job to touch: group, id, lease; and lease_s, progress and note if any of them is given."""
Report = tuple[str, str, tuple[Word, ...]]
"""The report of a consumer: group, status, and the words of finish.lua for the job, its id first."""


def new_batches(group: str, jobs: Sequence[PlainJob], ids: Sequence[str], image: str) -> list[NewBatch]:
    """New jobs in order. `image`: that of the group, for jobs without one."""
    specs = [_encode(Spec(job.image or image, job.payload or "")) for job in jobs]
    if len(jobs) == 1:
        return [NewBatch(group, _settings_of(jobs[0]), ids, specs)]
    batches = []
    first = 0
    if isinstance(jobs[0], NewJob):
        settings = [_settings_of(job) for job in jobs]
    else:  # without a function for each
        settings = [_settings(job.priority, job.delay, job.timeout, job.max_retries, job.retries_delay) for job in jobs]
    for alike, some in groupby(settings):
        end = first + sum(1 for _ in some)
        batches.append(NewBatch(group, alike, ids[first:end], specs[first:end]))
        first = end
    return batches


def _settings_of(job: PlainJob) -> Settings:
    if isinstance(job, NewJob):
        policy = job.retry or None
        own = _settings(job.priority, job.delay, job.timeout, job.max_retries, job.retries_delay, policy)
        return with_trace(own, job) if job.traceparent else own
    return _settings(job.priority, job.delay, job.timeout, job.max_retries, job.retries_delay)


def merged(batches: Iterable[NewBatch]) -> list[NewBatch]:
    """The same jobs in the same order; neighbours with the same group and settings become one batch."""
    whole: list[NewBatch] = []
    ids: list[str] = []
    specs: list[bytes] = []
    group, settings = "", None
    for batch in batches:
        if batch.group != group or batch.settings != settings:
            group, settings, ids, specs = batch.group, batch.settings, [], []
            whole.append(NewBatch(group, batch.settings, ids, specs))
        ids += batch.ids
        specs += batch.specs
    return whole


def enqueue_words(
    batches: Iterable[NewBatch], boosts: Mapping[str, int] = NO_BOOSTS, *, is_staged: bool = False
) -> Words:
    """The words of enqueue.lua for these batches. Default settings are left out, and a staged spec is ''.

    `boosts`: the priority_boost of each group that has one.
    """
    words: Words = []
    for batch in batches:
        words += (batch.group, len(batch.ids), *_batch_words(batch.settings))
        if batch.group in boosts:
            words[-3] = rank_priority(batch.settings.priority, boosts[batch.group])
        for job_id, spec in zip(batch.ids, batch.specs, strict=True):
            words += (job_id, "" if is_staged else spec)
    return words


def finish_words(reports: Sequence[Report]) -> tuple[Words, Sequence[int]]:
    """The words of finish.lua for these reports, and the positions in `reports` in the order of its reply.

    Reports of the same job keep their order: if a job is reported twice, only neighbours share a batch.
    """
    kinds = [(group, status, len(words)) for group, status, words in reports]
    is_each_once = len({words[0] for _, _, words in reports}) == len(reports)
    if len(set(kinds)) == 1 and is_each_once:
        return _finish_batch(kinds[0], [words for _, _, words in reports]), range(len(reports))
    alike: dict[tuple[tuple[str, str, int], int], list[int]] = {}
    section, before = 0, None
    for i, kind in enumerate(kinds):
        section += not is_each_once and kind != before
        before = kind
        alike.setdefault((kind, section), []).append(i)
    words: Words = []
    for (kind, _), positions in alike.items():
        words += _finish_batch(kind, [reports[i][2] for i in positions])
    return words, [i for positions in alike.values() for i in positions]


def _finish_batch(kind: tuple[str, str, int], jobs: Sequence[tuple[Word, ...]]) -> Words:
    group, status, width = kind
    return [group, status, len(jobs), width, *chain.from_iterable(jobs)]


def held_words(item: Held) -> HeldWords:
    """A job to touch. Most touches say no more than that the job is held."""
    if item.progress is None and not item.note and item.lease_s is None:
        return item.group_name, item.id, item.lease or ""
    lease_s = "" if item.lease_s is None else item.lease_s
    progress = "" if item.progress is None else item.progress
    return item.group_name, item.id, item.lease or "", lease_s, progress, item.note or ""


def touch_words(items: Iterable[HeldWords]) -> tuple[Words, list[int]]:
    """The words of touch.lua for these jobs, and the positions in `items` in the order of its reply."""
    listed = list(items)
    alike: dict[tuple[Word, int], list[int]] = {}
    for i, item in enumerate(listed):
        alike.setdefault((item[0], len(item)), []).append(i)
    words: Words = []
    for (group, width), positions in alike.items():
        words += (group, len(positions), width - 1)
        for i in positions:
            words += listed[i][1:]
    return words, [i for positions in alike.values() for i in positions]


def report_of(item: Finish, completed_at: int | str, new_id: str) -> Report:
    """The report in an item of finish. It has the fewest words that say everything: most reports have no fields."""
    group, status, job_id, lease = item.group_name, item.status, item.id, item.lease or ""
    if status == "succeeded" and completed_at == "" and item.receipt is None and item.result is UNSET:
        return group, status, (job_id, lease)
    words = (job_id, lease, item.reason or "", item.error or "", completed_at, new_id)
    wait_s = item.retry_after if isinstance(item.retry_after, int) else ""
    if wait_s != "" or item.result is not UNSET:
        result = b"" if item.result is UNSET else bytes(item.result)
        return group, status, (*words, receipt_text(item.receipt, status), wait_s, result)
    if item.receipt is None:
        return group, status, words
    return group, status, (*words, receipt_text(item.receipt, status))


def receipt_text(receipt: Receipt | None, outcome: str) -> bytes:
    """The JSON of a receipt with its outcome; empty without a receipt."""
    if receipt is None:
        return b""
    words = _encode(receipt if not receipt.outcome else msgspec.structs.replace(receipt, outcome=""))
    return b'{"outcome":"%b"%b%b' % (outcome.encode(), b"," if len(words) > len("{}") else b"", words[1:])


def change_words(changes: RetryChanges, image: str) -> tuple[bytes, bytes, bytes]:
    """The words of retry.lua for what is changed in the new job; `image`: that of the group."""
    numbers = {name: getattr(changes, name) for name in _DEFAULTS if getattr(changes, name) is not UNSET}
    settings = {name: None if value == _DEFAULTS[name] else value for name, value in numbers.items()}
    new_image = b"" if changes.image is UNSET else _encode(changes.image or image)
    new_payload = b"" if changes.payload is UNSET else _encode(changes.payload or None)
    return _encode(settings), new_image, new_payload


@lru_cache(maxsize=1024)
def _settings(
    priority: int | None,
    delay: int | None,
    timeout: int | None,
    max_retries: int | None,
    retries_delay: int | None,
    retry: Retry | None = None,
) -> Settings:
    """The settings that a producer gave, with the defaults. Cached, since most jobs have the same settings."""
    return Settings(
        delay or 0,
        timeout or DEFAULT_TIMEOUT_S,
        priority or 0,
        max_retries or 0,
        DEFAULT_RETRIES_DELAY_S if retries_delay is None else retries_delay,
        **({} if retry is None else members_of(retry)),
    )


@lru_cache(maxsize=1024)
def _batch_words(settings: Settings) -> tuple[Word, ...]:
    """Priority, delay, and the settings as JSON."""
    return settings.priority, settings.delay, settings_text(settings)
