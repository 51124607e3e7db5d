"""Async functions that run in the event loop of the worker: whose code runs now, and how to stop one that blocks it.

The loop can neither cancel nor time out a coroutine that never returns to it. A thread sees that its time has ended,
and sends SIGURG; the signal handler runs inside the code of the function and raises there.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Self

from worker.daemon import signals

_CHECK_S = 0.5
_BLOCKED_S = 1.0
"""How much longer than its time a function may take before it counts as blocking the loop, s."""

_log = logging.getLogger(__name__)
_current: ContextVar["FunctionCall | None"] = ContextVar("call", default=None)


class Interrupted(BaseException):
    """Raised in a function that blocks the loop. Not an Exception: a function that catches those must end too."""


class FunctionCall:
    """One run of one function, as a context manager: its code runs inside the block.

    A process that the function forked exits at the end of the block.
    """

    __slots__ = ("_calls", "_pid", "context", "end_at", "has_ended", "is_interrupted", "task", "timeout_at")

    def __init__(self, calls: set["FunctionCall"], pid: int, limit_s: float) -> None:
        self._calls = calls
        self._pid = pid
        self.timeout_at = self.end_at = time.monotonic() + limit_s
        """`end_at`: when it must end: at its timeout, or earlier when the worker stops."""
        self.has_ended = False
        self.is_interrupted = False
        self.task = asyncio.current_task()
        self.context: Context

    def __enter__(self) -> Self:
        _current.set(self)
        self.context = copy_context()
        self._calls.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # a child that the function forked
        self.has_ended = True
        self._calls.discard(self)
        _current.set(None)

    def is_late(self, now: float) -> bool:
        """Whether it ran longer than its timeout."""
        return now >= self.timeout_at

    def blocks_loop(self) -> bool:
        """Whether it still runs after its time has ended."""
        return time.monotonic() >= self.end_at + _BLOCKED_S and not self.has_ended


class Calls:
    """All running functions. `grace_s`: how long they may continue when the worker stops, s."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._calls: set[FunctionCall] = set()
        self._pid = os.getpid()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def call(self, limit_s: float) -> FunctionCall:
        """A run of a function that may take `limit_s`."""
        if self._thread is None:
            self._start()
        return FunctionCall(self._calls, self._pid, limit_s)

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Stop a function whose task ignored its cancellation: close the coroutine where it waits."""
        for call in self._calls:
            if call.task is task:
                coroutine: Any = task.get_coro()
                with suppress(BaseException):
                    call.context.run(coroutine.close)
                call.has_ended = True
                break

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="calls", daemon=True)
        os.register_at_fork(after_in_child=asyncio.get_running_loop().stop)  # a child must not run the loop too
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGURG, _interrupt)
            self._thread.start()

    def _watch(self) -> None:
        main = threading.main_thread().ident
        while not self._closed.wait(_CHECK_S):
            if stop_requested_at := signals.stop_requested_at():
                for call in tuple(self._calls):
                    call.end_at = min(call.end_at, stop_requested_at + self._grace_s)
            if main is not None and any(call.blocks_loop() for call in tuple(self._calls)):
                signal.pthread_kill(main, signal.SIGURG)


def current_call() -> FunctionCall | None:
    """The call whose code runs now: that of the function, or of a task or callback that it created."""
    return _current.get()


class OwnedTask(asyncio.Task[Any]):
    """A task of the worker, or of the function that created it."""

    call: FunctionCall | None = None
    """The run of that function; None for a task of the worker."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it, unless the caller is a function and the task belongs to the worker or to another function."""
        caller, owner = current_call(), self.call
        if caller is None or caller is owner or (owner is not None and owner.has_ended):
            return super().cancel(msg)
        _log.warning("a function may not cancel a task that is not its own: %.255r", self.get_name())
        return False


def make_owned_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """The task factory for loops in which functions run."""
    task = OwnedTask(work, loop=loop, **options)
    if (call := current_call()) is not None:
        task.call = call
    return task


def _interrupt(*_: object) -> None:
    call = _current.get()
    if call is not None and call.blocks_loop():
        call.is_interrupted = True
        raise Interrupted
