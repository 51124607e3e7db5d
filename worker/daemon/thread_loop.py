"""Runs work in a separate thread with its own event loop, so that a busy job does not block it.

A function that blocks the loop of the worker delays neither touches nor heartbeats, unless it keeps Python's
interpreter lock.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


async def run_in_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the work in a thread until it ends or this is cancelled. Raises what the work raised."""
    caller_loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = caller_loop.create_future()
    thread_started: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = (
        caller_loop.create_future()
    )

    async def body() -> None:
        notify(thread_started.set_result, (asyncio.get_running_loop(), asyncio.current_task()))
        await work()

    def notify(call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop of the worker is closed: nobody waits any more
            caller_loop.call_soon_threadsafe(_unless_done(call), *arguments)

    def run() -> None:
        try:
            asyncio.run(body())
        except asyncio.CancelledError:
            notify(ended.set_result, None)
        except BaseException as error:  # noqa: BLE001 -- raised in the worker's loop
            notify(ended.set_exception, error)
        else:
            notify(ended.set_result, None)

    threading.Thread(target=run, name="leases", daemon=True).start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        loop, task = await thread_started  # also for a thread that has just been started
        if task is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        await asyncio.wait([ended])
        raise


def _unless_done(call: Callable[..., object]) -> Callable[..., None]:
    def once(*arguments: object) -> None:
        with suppress(asyncio.InvalidStateError):
            call(*arguments)

    return once
