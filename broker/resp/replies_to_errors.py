"""What the store answers when it does not do what was asked, in the broker's words: refusals, and its faults."""

import re
from collections.abc import Awaitable
from typing import TypeVar

from redis import exceptions
from redis._parsers import BaseParser

from broker.core import errors
from broker.core.timestamps import rfc3339

T = TypeVar("T")
_WORDS = {fault: word for word, fault in BaseParser.EXCEPTION_CLASSES.items() if isinstance(fault, type)}
"""The store's own word for each fault that redis-py has a class for, since it takes the word off the text."""
_AWAY = re.compile(r"READONLY|LOADING|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|MISCONF|BUSY|UNKILLABLE|TRYAGAIN|NOAUTH|NOPERM")


async def spoken(work: Awaitable[T]) -> T:
    """The store's answer. Its faults are raised in the broker's words.

    redis-py may lose a cancellation that comes with the answer (Python 3.11's wait_for does); a loop shields its calls.
    """
    try:
        return await work
    except exceptions.RedisError as fault:
        raise told(fault) from fault
    except (OSError, TimeoutError) as fault:
        raise errors.StoreUnavailable(retry_after_s=1) from fault


def told(fault: Exception) -> errors.TitanError:
    """A refusal by word, or a fault of the store, as one of the broker's own errors."""
    text = str(fault)
    if isinstance(fault, exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return errors.StoreFull(retry_after_s=5)
    if type(fault) is not exceptions.ResponseError or _AWAY.match(text):  # a class of its own is a fault of the store
        word = _WORDS.get(type(fault)) or text.partition(" ")[0]
        said = word if word.isupper() else type(fault).__name__
        return errors.StoreUnavailable(f"{errors.StoreUnavailable.sentence} ({said})", retry_after_s=1)
    return refusal(text)


def refusal(text: str) -> errors.TitanError:
    """'WRONG_STATE running 1795461794165' -> WrongState('The job is running since …')."""
    word, _, detail = text.partition(" ")
    error = errors.BY_WORD.get(word)
    if error is None:
        return errors.TitanError(f"The store answered: {text}")
    if error is errors.WrongState:
        status, since, *note = detail.split(" ", 2)
        verb = "created at" if status in {"delayed", "queued"} else "since"
        return error(f"The job is {status}, {verb} {rfc3339(int(since))}.{' ' + note[0] if note else ''}")
    if error is errors.LeaseLost:
        delivery, until = detail.split(" ")
        return error(f"Delivery {delivery} holds the job, until {rfc3339(int(until))}; the lease token is not its.")
    if error is errors.Invalid:
        fields, _, message = detail.partition(" ")
        return error(message, fields=fields)
    if error in {errors.LimitReached, errors.StoreUnavailable}:
        return error(detail, retry_after_s=1)
    return error(detail)
