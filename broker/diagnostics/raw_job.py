"""What the store has of one job: each value, the redis-cli command that prints it, and what it means.

For people who look with redis-cli, and for faults that the API does not show. Everything is read in one
transaction, and nothing is changed.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from broker.core.states import FINISHED, STATUSES
from broker.core.timestamps import rfc3339
from broker.resp import keys
from broker.resp.replies_to_errors import translate_errors
from broker.store.format.ranks import rank_in_words
from broker.store.format.record import parts_of, spec_of, split
from broker.store.format.replies import execution_fields
from broker.store.job_store import JobStore

_TIMES = {"created_at", "started_at", "completed_at", "deadline"}


class RawValue(Struct, frozen=True):
    """One value. `command` prints it in redis-cli; `meaning` has its parts by name."""

    label: str
    command: tuple[str, ...]
    value: str
    meaning: dict[str, str]


class RawJob(Struct, frozen=True):
    """All values of a job. `status` is the set that it is in; '' when no set or several have it."""

    partition: str
    status: str
    values: list[RawValue]


async def raw_job(store: JobStore, group: str, job_id: str) -> RawJob | None:
    """What the store has of a job; None where that is nothing. Raises StoreDiffers."""
    await store.verify()
    partition = store.partitions[keys.partition_of(group, len(store.partitions))]
    server = store.topology.of(partition)
    commands = _commands(partition, group, job_id)
    pipe = server.redis.pipeline(transaction=True)
    for _, command in commands:
        pipe.execute_command(*command)
    replies = await translate_errors(pipe.execute())
    values = [_value(*asked, reply) for asked, reply in zip(commands, replies, strict=True) if reply not in (None, {})]
    if not values:
        return None
    statuses = [value.label for value in values if value.label in STATUSES]
    return RawJob(partition, statuses[0] if len(statuses) == 1 else "", values)


def _commands(partition: str, group: str, job_id: str) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("record", ("HGET", keys.jobs(partition), job_id)),
        ("execution", ("HGET", keys.executions(partition), job_id)),
        ("fields", ("HGETALL", keys.job(partition, job_id))),
        *((status, ("ZSCORE", keys.members(partition, group, status), job_id)) for status in STATUSES),
        ("all jobs", ("ZSCORE", keys.jobs_of(partition, group), job_id)),
        ("expiring", ("ZSCORE", keys.expiring(partition, group), job_id)),
        ("deleted", ("ZSCORE", keys.discarded(partition), job_id)),
    ]


def _value(label: str, command: tuple[str, ...], reply: Any) -> RawValue:
    if isinstance(reply, dict):
        fields = {_text(name): _text(value) for name, value in reply.items()}
        return RawValue(label, command, "", fields)
    if label in {"record", "execution"}:
        return RawValue(label, command, _text(reply), _RULES[label](reply))
    score = int(reply)
    return RawValue(label, command, str(score), _score(label, score))


def _record(text: bytes) -> dict[str, str]:
    """The parts of a record; empty where it is none."""
    try:
        header, inside = split(text)
        parts = parts_of(header)
        meaning = {"settings": parts.settings, "group_name": parts.group_name, "created_at": parts.created_at}
        shown = _timed({name: _text(value) for name, value in meaning.items() if value})
        if not inside:
            return shown | {"spec": "in the field `spec` below"}
        spec = spec_of(b"{%b}" % inside)
        return shown | {"image": spec.image, "payload": f"{len(spec.payload.encode())} bytes"}
    except (ValueError, msgspec.MsgspecError):
        return {}


def execution_of(text: str) -> dict[str, str]:
    """The parts of an execution, by the grammar of lua/README.md. Raises ValueError or LookupError where it is none."""
    meaning, more = execution_fields(text), text.split(" ")[3:]
    if more[-2:-1] and more[-2] in FINISHED:
        meaning["status"], more = more[-2], more[:-2]
    if more[-1:] in (["+"], ["++"]):
        more = more[:-1]
    if len(more) > 1:
        meaning["lease_s"], meaning["deadline"] = more
    elif more:
        meaning["started_by"] = more[0]
    return meaning


def _execution(text: bytes) -> dict[str, str]:
    """The same with the rank out of the token, and times to read; empty where it is none."""
    try:
        meaning = execution_of(_text(text))
        rank = meaning.get("lease", "").rpartition("-")[2]
        return _timed(meaning | (_rank(int(rank)) if rank.isdigit() else {}))
    except (ValueError, LookupError):
        return {}


HELD = 2**53
"""The score in `delayed` of a job that waits for others."""
_RULES = {"record": _record, "execution": _execution}


def _score(label: str, score: int) -> dict[str, str]:
    if label == "queued":
        return _rank(score)
    if label == "delayed" and score >= HELD:
        return {"held": "it waits for other jobs"}
    names = {
        "delayed": "due_at",
        "running": "lease_ends_at",
        "all jobs": "created_at",
        "expiring": "deadline",
        "deleted": "deleted_at",
    }
    return {names.get(label, "completed_at"): rfc3339(score)}


def _rank(rank: int) -> dict[str, str]:
    return {"rank": rank_in_words(rank)}


def _timed(meaning: Mapping[str, str]) -> dict[str, str]:
    return {name: rfc3339(int(value)) if name in _TIMES else value for name, value in meaning.items()}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
