"""Builds the JSON of jobs from the replies of scripts, without a struct in between.

Groups, ids, leases and times need no escaping; image and payload are stored as JSON (`spec`). A test compares the
result with the encoding of `Job`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from broker.core.timestamps import rfc3339
from broker.models.jobs import Job
from broker.store.format.batches import batch_in
from broker.store.format.policies import policy_json
from broker.store.format.record import Settings, parts_of, settings_of, split
from broker.store.format.script_args import NewBatch
from broker.store.format.traces import trace_in
from broker.store.tally import Tally, step_of

_DISPATCHED = b'{"id":"%b%b%b%b%b"}'
_SETTINGS = b',"delay":%d,"timeout":%d,"priority":%d,"max_retries":%d,"retries_delay":%d,"deliveries":'

_WORDS = 4
"""Words a job in the reply of next.lua."""

struct_of = msgspec.json.Decoder(Job).decode
"""Decodes the JSON of a job."""

_FINISHED = b'{"id":"%b","group_name":"%b","status":"%b",%b%b%d,"created_at":"%b"%b}'
_HAVE_RUN = {b"running", b"succeeded", b"failed", b"cancelled"}
_text = msgspec.json.Encoder().encode


class EncodedDelivery(Struct, frozen=True, gc=False):
    """A job that was dispatched: its JSON, and the fields that are needed to release it."""

    group_name: str
    id: bytes
    lease: bytes
    encoded: bytes


class EncodedJobs(NamedTuple):
    """The JSON of each new job. `is_replayed`: they are from an earlier call with the same Idempotency-Key.

    `full`: how full the group is with them by its limits, in percent; 0 below 80.
    """

    jobs: list[bytes]
    is_replayed: bool
    full: int = 0


def new_jobs(batches: Iterable[NewBatch], created_at: int) -> list[bytes]:
    """The JSON of jobs right after enqueue. created_at: ms."""
    at = rfc3339(created_at).encode()
    jobs: list[bytes] = []
    for batch in batches:
        settings, deadlines, more = _words_of(batch.settings)
        begin = b'","group_name":"%b","status":"%b",' % (
            batch.group.encode(),
            b"delayed" if batch.settings.delay else b"queued",
        )
        end = b'%b0,"created_at":"%b"%b%b}' % (settings, at, deadlines, more)
        jobs += [
            b'{"id":"' + job_id.encode() + begin + spec[1:-1] + end
            for job_id, spec in zip(batch.ids, batch.specs, strict=True)
        ]
    return jobs


@lru_cache(maxsize=1024)
def _words_of(settings: Settings) -> tuple[bytes, bytes, bytes]:
    """The settings as parts of a job's JSON: those between its spec and its deliveries, deadlines, and the others.

    Cached, since most jobs have the same settings.
    """
    return _settings_json(settings), _deadlines(settings), _retries(settings)


def _settings_json(settings: Settings) -> bytes:
    words = (settings.delay, settings.timeout, settings.priority, settings.max_retries, settings.retries_delay)
    return _SETTINGS % words


def _deadlines(settings: Settings) -> bytes:
    """The times by which a job must have started and finished, as a part of its JSON; most jobs have none."""
    if not settings.hooks:
        return b""
    times = (("start_before", settings.start_before), ("end_before", settings.end_before))
    return b"".join(b',"%b":"%b"' % (name.encode(), rfc3339(ms).encode()) for name, ms in times if ms)


def tied(encoded: bytes, after: Sequence[str], after_on: str, waits: int | None, unique: bytes, key: str = "") -> bytes:
    """The JSON of a new job with the ids of the jobs that it waits for, how many these are now, and its keys.

    waits None: it waits for a place of its `key`.
    """
    parts = [encoded[:-1]]
    if waits != 0:
        parts[0] = parts[0].replace(b'"status":"queued"', b'"status":"delayed"', 1)
    if after:
        parts.append(b',"after":' + _text(after))
        parts.append(b',"after_on":"over"' if after_on == "over" else b"")
    if waits:
        parts.append(b',"waits_for":{"jobs":%d}' % waits)
    if waits is None:
        parts.append(b',"waits_for":{"key":' + _text(key) + b"}")
    if unique:
        parts.append(b',"unique":' + unique)
    if key:
        parts.append(b',"key":' + _text(key))
    return b"".join(parts) + b"}"


def _retries(settings: Settings) -> bytes:
    """The job that this one repeats, the group of that for a dead letter, schedule, policy, batch and trace."""
    retry_of = b',"retry_of":"%b"' % settings.retry_of.encode() if settings.retry_of else b""
    if settings.dead_letter_of:
        retry_of += b',"dead_letter_of":"%b"' % settings.dead_letter_of.encode()
    if settings.schedule:
        words = settings.schedule.encode(), rfc3339(settings.scheduled_for).encode()
        retry_of += b',"schedule":"%b","scheduled_for":"%b"' % words
    batch = b',"batch":' + _text(batch_in(settings.batch)) if settings.batch else b""
    trace = b"," + _text(trace_in(settings).fields())[1:-1] if settings.traceparent else b""
    return retry_of + policy_json(settings) + batch + trace


def dispatched_jobs(
    reply: Sequence[Any], lease: str, lease_s: int | None, grace_ms: int, tally: Tally
) -> list[EncodedDelivery]:
    """The jobs in the reply of next.lua; lease_s None: the lease is the timeout of each job. `tally` counts them."""
    now, *groups = reply
    first = lease.encode() + b"-"
    jobs: list[EncodedDelivery] = []
    for name, env_vars, *words in groups:
        group, begin = name.decode(), b'","group_name":"%b","status":"running",' % name
        ends = _Ends(now, lease_s, grace_ms, env_vars)
        for job_id, rank, record, deliveries in zip(*[iter(words)] * _WORDS, strict=True):
            header, spec_body = split(record)
            token = first + rank
            encoded = _DISPATCHED % (job_id, begin, spec_body, ends[header, deliveries], token)
            jobs.append(EncodedDelivery(group, job_id, token, encoded))
        waits_ms, weight = ends.waits_ms(words, tally.of(group).waits)
        tally.taken(group, len(words) // _WORDS, waits_ms, weight, () if tally.events is None else words[::_WORDS])
    return jobs


def finished(job_id: str, row: Sequence[Any]) -> bytes:
    """The JSON of a job in the reply of finish.lua: it is finished, or waits for its next try.

    A repeated report may find it in any status.
    """
    record, status, execution, reason, error, retry_at, large, attempts, *_ = row
    header, spec_body = split(record)
    given, group, created_at = parts_of(header)
    settings, deadlines, more = _words_of(settings_of(given))
    deliveries, times, dead_at = _times(status, execution.split(b" "))
    return _FINISHED % (
        job_id.encode(),
        group,
        status,
        large[1:-1] if large else spec_body,
        settings,
        deliveries,
        rfc3339(int(created_at)).encode(),
        b"".join(
            [
                times,
                deadlines,
                b',"reason":' + _text(reason.decode()) if reason else b"",
                b',"error":' + _text(error.decode()) if error else b"",
                more,
                b',"retry_at":"%b"' % retry_at if retry_at else b"",
                b',"attempts":%b' % attempts if attempts else b"",
                b',"dead_at":"%b"' % dead_at if attempts and status == b"failed" else b"",
            ]
        ),
    )


def _times(status: bytes, words: list[bytes]) -> tuple[int, bytes, bytes]:
    """The deliveries in an execution, the times of the job as far as it has any now, and when it ended."""
    if len(words) == 1:
        return int(words[0]), b"", b""
    deliveries = int(words[1])
    if status not in _HAVE_RUN:
        return deliveries, b"", b""
    started = b"" if words[2] == b"-" else b',"started_at":"%b"' % rfc3339(int(words[2])).encode()
    if status == b"running":
        return deliveries, started, b""
    ended_at = rfc3339(int(words[-1])).encode()
    return deliveries, started + b',"completed_at":"%b"' % ended_at, ended_at


def wrapped(job: bytes) -> bytes:
    """The wrapper with one job."""
    return b'{"job":' + job + b"}"


def listed(jobs: Iterable[bytes]) -> bytes:
    """The wrapper with several jobs."""
    return b'{"jobs":[' + b",".join(jobs) + b"]}"


class _Ends(dict[tuple[bytes, int], bytes]):
    """The part of each job between its spec and its token, for the jobs of one group in one call.

    The key is the header of the record and the number of deliveries: many jobs have the same.
    """

    def __init__(self, now: int, lease_s: int | None, grace_ms: int, env_vars: bytes | None) -> None:
        super().__init__()
        self._now = now
        self._lease_s = lease_s
        self._grace_ms = grace_ms
        self._env_vars = b',"env_vars":' + env_vars if env_vars else b""

    def waits_ms(self, words: Sequence[Any], before: Sequence[int] | None) -> tuple[Iterable[int], int]:
        """How long a sample of the jobs in these words waited for the first delivery, and for how many each stands.

        `before`: the histogram of the group so far.
        """
        n = len(words) // _WORDS
        step = n if len(self) == 1 else step_of(n, before)
        sample = zip(words[2 :: _WORDS * step], words[3 :: _WORDS * step], strict=True)
        return [self._waited_ms(record) for record, deliveries in sample if deliveries == 1], step

    def _waited_ms(self, record: bytes) -> int:
        given, _, created_at = parts_of(split(record)[0])
        return max(0, self._now - int(created_at) - settings_of(given).delay * 1000)

    def __missing__(self, key: tuple[bytes, int]) -> bytes:
        """Build it, once a key."""
        end = self[key] = self._end(*key)
        return end

    def _end(self, header: bytes, deliveries: int) -> bytes:
        given, _, created_at = parts_of(header)
        settings = settings_of(given)
        held_ms = settings.timeout * 1000
        if self._lease_s is not None:
            held_ms = min(held_ms + self._grace_ms, self._lease_s * 1000)
        expires_at = self._now + held_ms
        if settings.end_before:
            expires_at = min(expires_at, settings.end_before)
        times = (rfc3339(int(created_at)), rfc3339(self._now), rfc3339(expires_at))
        before, deadlines, more = _words_of(settings)
        return b'%b%d%b%b%b%b%b,"lease":"' % (
            before,
            deliveries,
            b',"created_at":"%b","started_at":"%b","expires_at":"%b"' % tuple(map(str.encode, times)),
            deadlines,
            more,
            b',"has_inputs":true' if settings.inputs else b"",
            self._env_vars,
        )
