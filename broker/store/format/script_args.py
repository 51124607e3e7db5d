"""Many jobs as the scripts take them: in runs of jobs that are alike, so that what they share is said once."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, groupby
from typing import NamedTuple

import msgspec

from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, DEFAULT_TIMEOUT_S, NewJob
from broker.models.reports import Finish
from broker.models.workers import Receipt
from broker.store.format.record import Settings, Spec, settings_text

Word = str | int | bytes
Words = list[Word]
_encode = msgspec.json.Encoder().encode


class NewExecution(NamedTuple):
    """New jobs of one group with the same settings: their ids and specs."""

    group: str
    settings: Settings
    ids: Sequence[str]
    specs: Sequence[bytes]


HeldWords = tuple[str, str, str]
"""A job that is touched: group, id, lease."""
Ended = tuple[str, str, tuple[Word, ...]]
"""A job that ended, as a consumer reports it: group, status, and what finish.lua takes for it, its id first."""


def ended(
    group: str,
    status: str,
    job_id: str,
    lease: str,
    reason: str = "",
    error: str = "",
    completed_at: int | str = "",
    new_id: str = "",
    receipt: bytes = b"",
) -> Ended:
    """A job that ended; '' where its consumer says nothing. completed_at: ms."""
    if receipt:
        return group, status, (job_id, lease, reason, error, completed_at, new_id, receipt)
    if status == "failed" or completed_at != "":
        return group, status, (job_id, lease, reason, error, completed_at, new_id)
    return group, status, (job_id, lease)


def new_runs(group: str, jobs: Sequence[NewJob], ids: Sequence[str], image: str) -> list[NewExecution]:
    """New jobs in order. `image` is the group's, for those that have none."""
    settings = [_settings(job.priority, job.delay, job.timeout, job.max_retries, job.retries_delay) for job in jobs]
    specs = [_encode(Spec(job.image or image, job.payload or "")) for job in jobs]
    if len(jobs) == 1:
        return [NewExecution(group, settings[0], ids, specs)]
    runs = []
    first = 0
    for alike, some in groupby(settings):
        end = first + sum(1 for _ in some)
        runs.append(NewExecution(group, alike, ids[first:end], specs[first:end]))
        first = end
    return runs


def joined(runs: Iterable[NewExecution]) -> list[NewExecution]:
    """The same jobs in the same order, neighbours that are alike in one run."""
    whole: list[NewExecution] = []
    ids: list[str] = []
    specs: list[bytes] = []
    group, settings = "", None
    for run in runs:
        if run.group != group or run.settings != settings:
            group, settings, ids, specs = run.group, run.settings, [], []
            whole.append(NewExecution(group, run.settings, ids, specs))
        ids += run.ids
        specs += run.specs
    return whole


def enqueue_words(runs: Iterable[NewExecution], *, is_ahead: bool = False) -> Words:
    """What enqueue.lua takes for them; a field with its default is left out, and a spec that was sent ahead is ''."""
    words: Words = []
    for run in runs:
        words += (run.group, len(run.ids), *_run_words(run.settings))
        for job_id, spec in zip(run.ids, run.specs, strict=True):
            words += (job_id, "" if is_ahead else spec)
    return words


def finish_words(reports: Sequence[Ended]) -> tuple[Words, Sequence[int]]:
    """What finish.lua takes for them, and the places in `reports` in the order of its reply.

    A job that is reported more than once has its reports in their order: then only neighbours share a run.
    """
    kinds = [(group, status, len(words)) for group, status, words in reports]
    is_each_once = len({words[0] for _, _, words in reports}) == len(reports)
    if len(set(kinds)) == 1 and is_each_once:
        return _finish_run(kinds[0], [words for _, _, words in reports]), range(len(reports))
    alike: dict[tuple[tuple[str, str, int], int], list[int]] = {}
    run, before = 0, None
    for i, kind in enumerate(kinds):
        run += not is_each_once and kind != before
        before = kind
        alike.setdefault((kind, run), []).append(i)
    told: Words = []
    for (kind, _), places in alike.items():
        told += _finish_run(kind, [reports[i][2] for i in places])
    return told, [i for places in alike.values() for i in places]


def _finish_run(kind: tuple[str, str, int], jobs: Sequence[tuple[Word, ...]]) -> Words:
    group, status, width = kind
    return [group, status, len(jobs), width, *chain.from_iterable(jobs)]


def touch_words(items: Iterable[tuple[str, str, str]]) -> tuple[Words, list[int]]:
    """What touch.lua takes for (group, id, lease), and the places in `items` in the order of its reply."""
    told = list(items)
    alike: dict[str, list[int]] = {}
    for i, (group, _, _) in enumerate(told):
        alike.setdefault(group, []).append(i)
    words: Words = []
    for group, places in alike.items():
        words += (group, len(places))
        for i in places:
            words += told[i][1:]
    return words, [i for places in alike.values() for i in places]


def ended_of(item: Finish, completed_at: int | str, new_id: str) -> Ended:
    """An item of the bulk finish."""
    group, status, job_id, lease = item.group_name, item.status, item.id, item.lease or ""
    if status == "succeeded" and completed_at == "" and item.receipt is None:
        return group, status, (job_id, lease)
    told = (item.reason or "", item.error or "", completed_at, new_id, receipt_text(item.receipt, status))
    return ended(group, status, job_id, lease, *told)


def receipt_text(receipt: Receipt | None, outcome: str) -> bytes:
    """A receipt as the store keeps it, with what became of the run; empty when there is none."""
    if receipt is None:
        return b""
    told = _encode(receipt if not receipt.outcome else msgspec.structs.replace(receipt, outcome=""))
    return b'{"outcome":"%b"%b%b' % (outcome.encode(), b"," if len(told) > len("{}") else b"", told[1:])


@lru_cache(maxsize=1024)
def _settings(
    priority: int | None, delay: int | None, timeout: int | None, max_retries: int | None, retries_delay: int | None
) -> Settings:
    """What a producer gave, with the defaults: most jobs are set alike."""
    return Settings(
        delay or 0,
        timeout or DEFAULT_TIMEOUT_S,
        priority or 0,
        max_retries or 0,
        DEFAULT_RETRIES_DELAY_S if retries_delay is None else retries_delay,
    )


@lru_cache(maxsize=1024)
def _run_words(settings: Settings) -> tuple[Word, ...]:
    """Priority, delay, and the settings as the text of a job has them."""
    return settings.priority, settings.delay, settings_text(settings)
