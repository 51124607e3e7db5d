"""Turns error replies of the store, and errors of redis-py, into the broker's own errors."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis import exceptions

from broker.core import errors
from broker.core.timestamps import rfc3339
from broker.resp.redis_private import CODES, WrongServer

T = TypeVar("T")
REPEATED_S = 1.0
_PAUSE_S = 0.05
_AWAY = re.compile(r"READONLY|LOADING|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|MISCONF|BUSY|UNKILLABLE|TRYAGAIN|NOAUTH|NOPERM")

_OF_PIPELINE = re.compile(r"Command # \d+ \(.*?\) of pipeline caused error: (?:\(['\"])?", re.DOTALL)
"""What redis-py puts before the error of a command in a pipeline."""
_OF_JOB = re.compile(r"([a-z]+) (\d+)( .*|)")
"""The detail of WRONG_STATE when it is about a job: status, since when in ms, a note. Another detail is a sentence."""
_OF_NEW_JOB = re.compile(r"([0-9A-Za-z]{16}) (.*)")
"""The detail of DUPLICATE when it is about one of the new jobs of a call: its id, a sentence."""


async def translate_errors(work: Awaitable[T]) -> T:
    """Await a call of the store. Its errors are raised as TitanError.

    redis-py may lose a cancellation that arrives together with the reply (wait_for of Python 3.11 does). So a loop
    shields its calls.
    """
    try:
        return await work
    except exceptions.RedisError as fault:
        raise error_of(fault) from fault
    except (OSError, TimeoutError) as fault:
        raise errors.StoreUnavailable(retry_after_s=1) from fault


async def unless_refused(work: Awaitable[T]) -> T | None:
    """Await a call of the store; None if the store does not allow it. Its other errors are raised as TitanError."""

    async def answer() -> T | None:
        try:
            return await work
        except exceptions.ResponseError:
            return None

    return await translate_errors(answer())


async def repeat_refused(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call of redis-py, and again for REPEATED_S while a node of a cluster refuses it because its slot moves.

    The commands must do no harm when some of them are executed twice.
    """
    end = time.monotonic() + REPEATED_S
    while True:
        try:
            return await call()
        except (WrongServer, exceptions.AskError, exceptions.TryAgainError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(_PAUSE_S)


def error_of(fault: Exception) -> errors.TitanError:
    """The broker's error for one of redis-py: a refusal of a script by its word, or a fault of the store."""
    text = _OF_PIPELINE.sub("", str(fault), count=1)
    if isinstance(fault, exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return errors.StoreFull(retry_after_s=5)
    if text.startswith("WRONGTYPE"):
        return errors.StoreDamaged()
    if type(fault) is not exceptions.ResponseError or _AWAY.match(text):  # a subclass is always a fault of the store
        code = CODES.get(type(fault)) or text.partition(" ")[0]
        shown = code if code.isupper() else type(fault).__name__
        return errors.StoreUnavailable(f"{errors.StoreUnavailable.sentence} ({shown})", retry_after_s=1)
    return refusal(text)


def refusal(text: str) -> errors.TitanError:
    """'WRONG_STATE running 1795461794165' -> WrongState('The job is running since …')."""
    word, _, detail = text.partition(" ")
    error = errors.BY_WORD.get(word)
    if error is None:
        return errors.TitanError(f"The store answered: {text}")
    if error is errors.WrongState and (of_job := _OF_JOB.fullmatch(detail)):
        status, since, note = of_job.groups()
        verb = "created at" if status in {"delayed", "queued"} else "since"
        return error(f"The job is {status}, {verb} {rfc3339(int(since))}.{note}")
    if error is errors.LeaseLost:
        return error(_lease_lost(detail))
    if error is errors.Invalid or (error is errors.Duplicate and _OF_NEW_JOB.fullmatch(detail)):
        fields, _, message = detail.partition(" ")
        return error(message, fields=fields)
    if error in {errors.LimitReached, errors.StoreUnavailable}:
        return error(detail, retry_after_s=1)
    return error(detail)


def _lease_lost(detail: str) -> str:
    if detail == "waits":
        return errors.GAVE_BACK
    delivery, until = detail.split(" ")
    return f"Delivery {delivery} holds the job, until {rfc3339(int(until))}; the lease token is not its."
