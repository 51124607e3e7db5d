"""The messages between the worker and a process of its pool: a length, then MessagePack."""

import struct
from typing import Literal

import msgspec
from msgspec import Struct

from broker.models.jobs import Job
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded, Waiting
from worker.runners.results import MAX_RESULT_BYTES

LENGTH = struct.Struct("!I")
MAX_REPLY_BYTES = MAX_RESULT_BYTES + 64 * 1024
"""A longer reply was written by the job, not by the process of the pool."""


class Request(Struct, frozen=True):
    """Run this function for this job."""

    handler: str
    job: Job
    progress_path: str = ""
    """The file into which the job may say how far it is."""
    inputs: bytes = b""
    """What it got from the jobs that it waited for, JSON; b"" for a job that waited for none."""


class Reply(Struct, frozen=True):
    """The outcome."""

    kind: Literal["succeeded", "failed", "released", "waiting"]
    reason: str = ""
    error: str = ""
    delay_s: int = 0
    retry: bool = True
    retry_after_s: int | None = None
    needs_replacement: bool = False
    """The job changed the state of the process: the next job needs another one."""
    result: bytes = b""
    note: str = ""
    after: tuple[str, ...] = ()
    after_on: str = ""


decode_reply = msgspec.msgpack.Decoder(Reply).decode
decode_request = msgspec.msgpack.Decoder(Request).decode


def encode(message: Request | Reply) -> bytes:
    """The message after its length."""
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


def length_of(header: bytes) -> int:
    """How many bytes follow."""
    return int(LENGTH.unpack(header)[0])


def reply_of(outcome: Outcome, *, needs_replacement: bool) -> Reply:
    """The reply with this outcome."""
    if isinstance(outcome, Failed):
        return Reply(
            "failed",
            outcome.reason,
            outcome.error,
            retry=outcome.retry,
            retry_after_s=outcome.retry_after_s,
            needs_replacement=needs_replacement,
        )
    if isinstance(outcome, Released):
        return Reply("released", delay_s=outcome.delay_s, needs_replacement=needs_replacement)
    if isinstance(outcome, Waiting):
        after, after_on = outcome.after, outcome.after_on
        return Reply("waiting", needs_replacement=needs_replacement, after=after, after_on=after_on)
    result, note = (outcome.result, outcome.note) if isinstance(outcome, Succeeded) else (b"", "")
    return Reply("succeeded", needs_replacement=needs_replacement, result=result, note=note)


def outcome_of(reply: Reply) -> Outcome:
    """The outcome of a reply."""
    if reply.kind == "failed":
        return Failed(reply.reason, reply.error, retry=reply.retry, retry_after_s=reply.retry_after_s)
    if reply.kind == "waiting":
        return Waiting(reply.after, reply.after_on)
    return Released(reply.delay_s) if reply.kind == "released" else Succeeded(None, reply.result, reply.note)
