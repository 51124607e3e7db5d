"""A coroutine run without a task: what it does before its first real wait happens at once, in the caller's own turn.

A task costs a turn of the loop before its first step, and more than the step itself where that is short. Steps are for
work that awaits nothing but futures: whatever asks for the current task (asyncio.timeout, redis-py) needs a task.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
Done = Callable[[T | None, BaseException | None], None]
"""Told of the end: the result, or what was raised."""
Begin = Callable[[Coroutine[Any, Any, T], Done[T]], Any]
"""`run_inline` or `in_task`; what it answers can be cancelled."""


class InlineTask(Generic[T]):
    """Drives one coroutine from future to future. `done` is called once, also when it was cancelled."""

    __slots__ = ("_awaited", "_done", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], done: Done[T]) -> None:
        self._work = work
        self._done = done
        self._awaited: asyncio.Future[Any] | None = None
        self._step()

    def cancel(self) -> None:
        """Cancel what it waits for, as the cancelling of a task does."""
        if self._awaited is not None:
            self._awaited.cancel()

    def _step(self, _: object = None) -> None:
        try:
            awaited: asyncio.Future[Any] | None = self._work.send(None)
        except StopIteration as end:
            self._end(end.value, None)
        except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001 - it is handed on to who waits for the end
            self._end(None, fault)
        else:
            self._wait(awaited)

    def _wait(self, awaited: asyncio.Future[Any] | None) -> None:
        if awaited is None:  # asyncio.sleep(0): a turn for others
            asyncio.get_running_loop().call_soon(self._step)
        else:
            awaited._asyncio_future_blocking = False  # noqa: SLF001 - as a task does, to say that somebody waits
            self._awaited = awaited
            awaited.add_done_callback(self._step)

    def _end(self, result: T | None, fault: BaseException | None) -> None:
        self._awaited = None
        self._done(result, fault)


def run_inline(work: Coroutine[Any, Any, T], done: Done[T]) -> "InlineTask[T]":
    """Begin work that awaits futures only."""
    return InlineTask(work, done)


def start_inline(work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
    """The result of work that begins at once: what awaits futures only is sent before this returns."""
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
    """Begin any work, in a task of its own."""

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
