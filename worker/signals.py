"""SIGTERM and SIGINT: the first asks to stop, the second stops now. Other signals do what the work says."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping

STOPPED_NOW = 1

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_logger = logging.getLogger(__name__)


async def until_signalled(
    work: Callable[[asyncio.Event], Awaitable[int]], others: Mapping[signal.Signals, Callable[[], None]] | None = None
) -> int:
    """Do the work with an event that the first signal sets; a second one cancels it. The exit code."""
    others = others or {}
    stop, now = asyncio.Event(), asyncio.Event()
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set() and task is not None:
            _logger.warning("%s again: stopping now", number.name)
            now.set()
            task.cancel()
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    for number, call in others.items():
        loop.add_signal_handler(number, call)
    try:
        return await work(stop)
    except asyncio.CancelledError:
        if not now.is_set():
            raise
        return STOPPED_NOW
    finally:
        for number in (*_SIGNALS, *others):
            loop.remove_signal_handler(number)
