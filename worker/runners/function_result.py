"""The outcome for the result of a Python function. Any result becomes an outcome that can be sent."""

import math
import re
import traceback
from asyncio import CancelledError
from collections.abc import AsyncGenerator, Awaitable, Generator
from datetime import timedelta
from typing import Any

import msgspec

from broker.models.jobs import MOST_PARENTS
from titan.failing import Fail
from titan.waiting import WaitFor
from worker.jobs.outcome import MAX_DELAY_S, Dropped, Failed, Outcome, Released, Succeeded, Usage, Waiting
from worker.jobs.texts import MAX_ERROR, MAX_REASON, class_name, clipped, encoded, error_text, safe_text
from worker.runners.async_calls import Interrupted
from worker.runners.results import NO_RESULT, JobResult, result_of_text, result_of_value

_SUCCEEDED = Succeeded()
_OUTCOMES = (Succeeded, Failed, Released, Waiting, Dropped)
_NEVER_RUN = (Awaitable, Generator, AsyncGenerator)
_SIGNAL = re.compile(r"[A-Za-z0-9 +-]{0,64}")


def outcome_of(result: object) -> tuple[Outcome, bytes]:
    """The outcome, and the text or bytes for the log. Never raises, whatever the code of the result does.

    What is JSON, and not None, is the result of the job too.
    """
    if result is None:
        return _SUCCEEDED, b""
    try:
        if isinstance(result, _OUTCOMES):
            return _checked(result), b""
        if why := _why_invalid(result):
            return _invalid(why), b""
        if isinstance(result, bytes | bytearray | memoryview):
            return _SUCCEEDED, bytes(result)
        text = encoded(str(result))
        return Succeeded(None, *result_of_value(result)), text
    except Interrupted:
        raise
    except BaseException as error:  # noqa: BLE001 -- the result's own code, whatever it raises
        return _invalid(f"what it returned, {class_name(result)}, cannot be shown: {error_text(error)}"), b""


def exception_outcome(error: BaseException) -> tuple[Outcome, bytes]:
    """The outcome for an exception of a function, and its traceback for the log; of WaitFor there is none."""
    if isinstance(error, WaitFor):
        return _waiting(error.jobs, error.after_on), b""
    return _failure(error), traceback_of(error)


def _failure(error: BaseException) -> Failed:
    if isinstance(error, Fail):
        return _raised(error)
    how = "; nobody cancelled it but the function itself" if isinstance(error, CancelledError) else ""
    return Failed("exception", clipped(error_text(error), MAX_ERROR - len(how)) + how)


def _raised(error: Fail) -> Failed:
    """The outcome for a Fail or Retry."""
    after: Any = error.after
    after_s = after.total_seconds() if isinstance(after, timedelta) else after
    if after_s is not None and (isinstance(after_s, bool) or not _is_number(after_s, int | float, 0, MAX_DELAY_S)):
        return _invalid(f"it raised Retry(after={clipped(safe_text(after), 100)}): a wait is 0 to {MAX_DELAY_S} s")
    wait_s = None if after_s is None else math.ceil(after_s)
    return _failed(Failed(error.reason, safe_text(error), retry=error.retry is not False, retry_after_s=wait_s))


def traceback_of(error: BaseException) -> bytes:
    """The traceback of an exception, as text for the log; without a traceback the name of the exception."""
    try:
        return encoded("".join(traceback.format_exception(error)))
    except BaseException:  # noqa: BLE001 -- the exception's own code, whatever it raises
        return encoded(error_text(error))


def _checked(outcome: Outcome) -> Outcome:
    """The outcome in a form that can be reported: texts are cut, and invalid fields replaced."""
    if isinstance(outcome, Dropped):
        return _invalid("it returned Dropped(), which only the worker may say")
    if isinstance(outcome, Released):
        return _released(outcome.delay_s)
    if isinstance(outcome, Waiting):
        return _waiting(outcome.after, outcome.after_on)
    if outcome.usage is not None and not _is_usage(outcome.usage):
        return _invalid(f"it returned an outcome whose usage is {class_name(outcome.usage)}, not Usage")
    return _failed(outcome) if isinstance(outcome, Failed) else _succeeded(outcome)


def _succeeded(outcome: Succeeded) -> Outcome:
    result: object = outcome.result
    if not isinstance(result, bytes):
        return _invalid(f"it returned Succeeded with the result {class_name(result)}, not the bytes of a JSON text")
    found: JobResult = result_of_text(result) if result else NO_RESULT
    return Succeeded(outcome.usage, *found)


def _failed(outcome: Failed) -> Failed:
    reason: object = outcome.reason
    error: object = outcome.error
    text = "" if error is None else safe_text(error)
    if not isinstance(reason, str):
        return _invalid(
            f"it returned Failed with the reason {clipped(safe_text(reason), MAX_REASON)}, not a text: {text}"
        )
    texts = {"reason": clipped(safe_text(reason), MAX_REASON), "error": clipped(text, MAX_ERROR)}
    return msgspec.structs.replace(outcome, **texts, retry=outcome.retry is not False, retry_after_s=_wait_s(outcome))


def _wait_s(outcome: Failed) -> int | None:
    """The wait that the outcome asks for; None for none, and for what is none."""
    wait: object = outcome.retry_after_s
    is_wait = isinstance(wait, int | float) and not isinstance(wait, bool) and 0 <= wait <= MAX_DELAY_S
    return math.ceil(wait) if is_wait and isinstance(wait, int | float) else None


def _released(delay_s: object) -> Outcome:
    is_number = isinstance(delay_s, int | float) and not isinstance(delay_s, bool)
    if isinstance(delay_s, int | float) and is_number and 0 <= delay_s <= MAX_DELAY_S:
        return Released(math.ceil(delay_s))
    return _invalid(f"it returned Released({clipped(safe_text(delay_s), 100)}): a delay is 0 to {MAX_DELAY_S} s")


def _waiting(after: object, after_on: object) -> Outcome:
    ids = list(after) if isinstance(after, list | tuple) else []
    if not 0 < len(ids) <= MOST_PARENTS or not all(isinstance(one, str) for one in ids):
        return _invalid(f"it waits for {clipped(safe_text(after), 100)}: a job waits for 1 to {MOST_PARENTS} jobs")
    if after_on not in {"over", "succeeded"}:
        return _invalid(f"it waits with after_on {clipped(safe_text(after_on), 100)}: say succeeded, or over")
    return Waiting(tuple(map(str, ids)), str(after_on))


def _why_invalid(result: object) -> str:
    """Why a result is neither an outcome nor a text; "" if it is one."""
    if isinstance(result, type) and issubclass(result, (*_OUTCOMES, BaseException)):
        return f"it returned the class {clipped(result.__name__, MAX_REASON)} instead of one of its instances"
    if isinstance(result, BaseException):
        return f"it returned an exception instead of raising it: {error_text(result)}"
    if isinstance(result, _NEVER_RUN):
        if (close := getattr(result, "close", None)) and not isinstance(result, AsyncGenerator):
            close()
        kind = class_name(result)
        return f"it returned a {kind}, which nobody runs: is it `async def`, without a decorator that hides it?"
    return ""


def _is_usage(usage: object) -> bool:
    if not isinstance(usage, Usage):
        return False
    return (
        _is_number(usage.exit_code, int, -(2**31), 2**31)
        and _is_number(usage.max_rss_bytes, int, 0, 2**53)
        and _is_number(usage.cpu_s, int | float, 0, 2**43)
        and (usage.signal is None or (isinstance(usage.signal, str) and bool(_SIGNAL.fullmatch(usage.signal))))
    )


def _is_number(value: object, kind: Any, least: int, most: int) -> bool:
    return value is None or (isinstance(value, kind) and least <= value <= most)


def _invalid(why: str) -> Failed:
    return Failed("invalid_outcome", clipped(why, MAX_ERROR))
