"""An event loop that runs until its work is done, although Python functions run in it too.

A task or callback of a function may call sys.exit or loop.stop(), which would end the loop.
"""

import asyncio
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from worker.jobs.texts import error_text
from worker.runners.async_calls import make_owned_task

T = TypeVar("T")

_log = logging.getLogger(__name__)


def run_until_done(
    work: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    at_start: Callable[[], object],
    *,
    is_shared: bool,
) -> T:
    """Run the work to its end; its result. `is_shared`: functions run in the loop too."""
    pid = os.getpid()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()
        if is_shared:
            _protect_log()
            loop.set_task_factory(cast("Any", make_owned_task))
        loop.call_soon(at_start)
        task = loop.create_task(work)
        while not task.done():
            try:
                loop.run_until_complete(task)
            except BaseException as error:
                if os.getpid() != pid:
                    os._exit(0)  # a child that a function forked
                if task.done():
                    break
                if isinstance(error, KeyboardInterrupt) and _ctrl_c_ends_program():
                    raise
                _log.warning(
                    "a function stopped the event loop of the worker, which continues: %.4096r", error_text(error)
                )
        return task.result()


class _UnclosableStream(io.TextIOWrapper):
    """A stream on the buffer of another stream, which stays open when this one is closed."""

    def close(self) -> None:
        """Close nothing."""
        self.flush()


def _protect_log() -> None:
    """Keep the log on the present stderr, whatever a function does to sys.stderr."""
    logging.raiseExceptions = False
    buffer = getattr(sys.stderr, "buffer", None)
    if buffer is not None:
        sys.stderr = _UnclosableStream(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _ctrl_c_ends_program() -> bool:
    """Whether Ctrl-C ends the program: the worker does not handle it yet, or no longer."""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
