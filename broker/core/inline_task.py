"""Runs a coroutine without an asyncio.Task. Its code up to the first wait executes immediately, in the caller.

A task starts one iteration of the event loop later, and costs more time than short work itself. The work may await only
futures: code that needs the current task (asyncio.timeout, redis-py) fails in an inline task.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
Done = Callable[[T | None, BaseException | None], None]
"""Called at the end, with the result or the exception."""
Begin = Callable[[Coroutine[Any, Any, T], Done[T]], Any]
"""`run_inline` or `in_task`. The returned object has `cancel`."""


class InlineTask(Generic[T]):
    """Drives one coroutine from future to future. It calls `done` once, also after a cancel."""

    __slots__ = ("_awaited", "_done", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], done: Done[T]) -> None:
        self._work = work
        self._done = done
        self._awaited: asyncio.Future[Any] | None = None
        self._step()

    def cancel(self) -> None:
        """Cancel the future that the coroutine awaits, as the cancel of a task does."""
        if self._awaited is not None:
            self._awaited.cancel()

    def _step(self, _: object = None) -> None:
        try:
            awaited: asyncio.Future[Any] | None = self._work.send(None)
        except StopIteration as end:
            self._end(end.value, None)
        except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001 - `done` gets it
            self._end(None, fault)
        else:
            self._wait(awaited)

    def _wait(self, awaited: asyncio.Future[Any] | None) -> None:
        if awaited is None:  # asyncio.sleep(0): continue in the next iteration
            asyncio.get_running_loop().call_soon(self._step)
        else:
            awaited._asyncio_future_blocking = False  # noqa: SLF001 - a task does this too: the future is awaited
            self._awaited = awaited
            awaited.add_done_callback(self._step)

    def _end(self, result: T | None, fault: BaseException | None) -> None:
        self._awaited = None
        self._done(result, fault)


def run_inline(work: Coroutine[Any, Any, T], done: Done[T]) -> "InlineTask[T]":
    """Start work that awaits futures only, without a task."""
    return InlineTask(work, done)


def start_inline(work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
    """Start work that awaits futures only, without a task; a future of its result."""
    result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def done(value: T | None, fault: BaseException | None) -> None:
        if result.done():
            return
        if fault is None:
            result.set_result(cast("T", value))
        else:
            result.set_exception(fault)

    run_inline(work, done)
    return result


def in_task(work: Coroutine[Any, Any, T], done: Done[T]) -> "asyncio.Task[T]":
    """Start any work, in a new task."""

    def end(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            done(None, asyncio.CancelledError())
        elif fault := task.exception():
            done(None, fault)
        else:
            done(task.result(), None)

    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(end)
    return task
