"""What the worker and a process of its pool say to each other: a length, then MessagePack."""

import struct
from typing import Literal

import msgspec
from msgspec import Struct

from broker.models.jobs import Job
from worker.outcome import Failed, Outcome, Released, Succeeded

HEAD = struct.Struct("!I")


class Request(Struct, frozen=True):
    """Run this handler for this job."""

    handler: str
    job: Job


class Reply(Struct, frozen=True):
    """The outcome."""

    kind: Literal["succeeded", "failed", "released"]
    reason: str = ""
    error: str = ""
    delay_s: int = 0


_reply_in = msgspec.msgpack.Decoder(Reply).decode
request_in = msgspec.msgpack.Decoder(Request).decode


def packed(message: Request | Reply) -> bytes:
    """The message behind its length."""
    body = msgspec.msgpack.encode(message)
    return HEAD.pack(len(body)) + body


def length_of(head: bytes) -> int:
    """How many bytes follow."""
    return int(HEAD.unpack(head)[0])


def reply_of(outcome: Outcome) -> Reply:
    """The outcome as it travels."""
    if isinstance(outcome, Failed):
        return Reply("failed", outcome.reason, outcome.error)
    if isinstance(outcome, Released):
        return Reply("released", delay_s=outcome.delay_s)
    return Reply("succeeded")


def outcome_in(body: bytes) -> Outcome:
    """The outcome of a reply."""
    reply = _reply_in(body)
    if reply.kind == "failed":
        return Failed(reply.reason, reply.error)
    return Released(reply.delay_s) if reply.kind == "released" else Succeeded()
