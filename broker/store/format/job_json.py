"""Jobs as the JSON that answers carry, put together from what the store has without a struct in between.

Groups, ids, leases and times need no escaping; image and payload are kept as JSON already (`spec`). A test
holds this against the encoding of `Job`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from broker.core.timestamps import rfc3339
from broker.models.jobs import Job
from broker.store.format.record import Settings, parts_of, settings_of, split
from broker.store.format.script_args import NewExecution

_HANDED_OUT = b'{"id":"%b%b%b%b%b"}'
_TIMES = b',"created_at":"%b","started_at":"%b","expires_at":"%b"'
_SETTINGS = b',"delay":%d,"timeout":%d,"priority":%d,"max_retries":%d,"retries_delay":%d,"deliveries":'

_WORDS = 4
"""Of a job in the reply of next.lua."""

struct_of = msgspec.json.Decoder(Job).decode
"""A job's JSON as a struct."""

_FINISHED = b'{"id":"%b","group_name":"%b","status":"%b",%b%b%d,"created_at":"%b"%b}'
_text = msgspec.json.Encoder().encode


class EncodedDelivery(Struct, frozen=True, gc=False):
    """A job that was handed out: its JSON, and what is needed to give it back."""

    group_name: str
    id: bytes
    lease: bytes
    encoded: bytes


class EncodedJobs(NamedTuple):
    """New jobs, each as its JSON; or, `is_replayed`, those of an earlier call with the same Idempotency-Key."""

    jobs: list[bytes]
    is_replayed: bool


def new_jobs(runs: Iterable[NewExecution], created_at: int) -> list[bytes]:
    """Jobs as they are right after enqueue. created_at: ms."""
    at = rfc3339(created_at).encode()
    jobs: list[bytes] = []
    for run in runs:
        begin = b'","group_name":"%b","status":"%b",' % (
            run.group.encode(),
            b"delayed" if run.settings.delay else b"queued",
        )
        end = b'%b0,"created_at":"%b"}' % (_settled(run.settings), at)
        jobs += [
            b'{"id":"' + job_id.encode() + begin + spec[1:-1] + end
            for job_id, spec in zip(run.ids, run.specs, strict=True)
        ]
    return jobs


@lru_cache(maxsize=1024)
def _settled(settings: Settings) -> bytes:
    """What stands in a job behind its spec, up to its deliveries: most jobs are set alike."""
    told = (settings.delay, settings.timeout, settings.priority, settings.max_retries, settings.retries_delay)
    return _SETTINGS % told


def _retry_of(settings: Settings) -> bytes:
    return b',"retry_of":"%b"' % settings.retry_of.encode() if settings.retry_of else b""


def handed_out(reply: Sequence[Any], lease: str, lease_s: int | None, grace_ms: int) -> list[EncodedDelivery]:
    """The reply of next.lua to these arguments; lease_s is None where each job's timeout counts."""
    now, *groups = reply
    first = lease.encode() + b"-"
    jobs: list[EncodedDelivery] = []
    for name, env_vars, *told in groups:
        group, begin = name.decode(), b'","group_name":"%b","status":"running",' % name
        ends = _Ends(now, lease_s, grace_ms, env_vars)
        for job_id, place, text, deliveries in zip(*[iter(told)] * _WORDS, strict=True):
            head, inside = split(text)
            token = first + place
            encoded = _HANDED_OUT % (job_id, begin, inside, ends[head, deliveries], token)
            jobs.append(EncodedDelivery(group, job_id, token, encoded))
    return jobs


def finished(job_id: str, row: Sequence[Any]) -> bytes:
    """A job of finish.lua's reply."""
    text, status, run, reason, error, retry_at, large = row
    head, inside = split(text)
    given, group, created_at = parts_of(head)
    settings = settings_of(given)
    _, deliveries, started_at, *_, completed_at = run.split(b" ")
    return _FINISHED % (
        job_id.encode(),
        group,
        status,
        large[1:-1] if large else inside,
        _settled(settings),
        int(deliveries),
        rfc3339(int(created_at)).encode(),
        b"".join(
            [
                b',"started_at":"%b"' % rfc3339(int(started_at)).encode(),
                b',"completed_at":"%b"' % rfc3339(int(completed_at)).encode(),
                b',"reason":' + _text(reason.decode()) if reason else b"",
                b',"error":' + _text(error.decode()) if error else b"",
                _retry_of(settings),
                b',"retry_at":"%b"' % retry_at if retry_at else b"",
            ]
        ),
    )


def wrapped(job: bytes) -> bytes:
    """One job in its wrapper."""
    return b'{"job":' + job + b"}"


def listed(jobs: Iterable[bytes]) -> bytes:
    """Jobs in their wrapper."""
    return b'{"jobs":[' + b",".join(jobs) + b"]}"


class _Ends(dict[tuple[bytes, int], bytes]):
    """What stands behind the specs of a group's jobs that one call hands out, up to their tokens.

    By what their texts have before the specs, and deliveries: many jobs have the same.
    """

    def __init__(self, now: int, lease_s: int | None, grace_ms: int, env_vars: bytes | None) -> None:
        super().__init__()
        self._now = now
        self._lease_s = lease_s
        self._grace_ms = grace_ms
        self._env_vars = b',"env_vars":' + env_vars if env_vars else b""

    def __missing__(self, key: tuple[bytes, int]) -> bytes:
        """Make it, once."""
        end = self[key] = self._end(*key)
        return end

    def _end(self, head: bytes, deliveries: int) -> bytes:
        given, _, created_at = parts_of(head)
        settings = settings_of(given)
        held_ms = settings.timeout * 1000
        if self._lease_s is not None:
            held_ms = min(held_ms + self._grace_ms, self._lease_s * 1000)
        times = (int(created_at), self._now, self._now + held_ms)
        return b'%b%d%b%b%b,"lease":"' % (
            _settled(settings),
            deliveries,
            _TIMES % tuple(rfc3339(ms).encode() for ms in times),
            _retry_of(settings),
            self._env_vars,
        )
