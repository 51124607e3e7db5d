"""Work that a busy job must not hold up: in a thread of its own, with an event loop of its own.

A handler that blocks the worker's loop holds up neither the touches nor the announcements, unless it keeps Python's
interpreter lock to itself.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


async def steadily(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the work in a thread until it ends or this is cancelled. Raises what it raised."""
    here = asyncio.get_running_loop()
    ended: asyncio.Future[None] = here.create_future()
    begun: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = here.create_future()

    async def body() -> None:
        tell(begun.set_result, (asyncio.get_running_loop(), asyncio.current_task()))
        await work()

    def tell(call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the worker's loop is closed: nobody waits any more
            here.call_soon_threadsafe(_unless_done(call), *arguments)

    def run() -> None:
        try:
            asyncio.run(body())
        except asyncio.CancelledError:
            tell(ended.set_result, None)
        except BaseException as error:  # noqa: BLE001 -- raised in the worker's loop
            tell(ended.set_exception, error)
        else:
            tell(ended.set_result, None)

    threading.Thread(target=run, name="steady", daemon=True).start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        loop, task = await begun  # a thread that was only just started is cancelled too
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
