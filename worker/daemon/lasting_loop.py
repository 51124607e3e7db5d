"""An event loop that goes on until its work is done, whatever the Python functions do that run in it as well.

A function's own task or callback may call sys.exit, which leaves the loop, or loop.stop().
"""

import asyncio
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from worker.jobs.texts import named
from worker.runners.own_tasks import make_own_task

T = TypeVar("T")

_log = logging.getLogger(__name__)


def run_lasting(
    work: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    at_start: Callable[[], object],
    *,
    is_shared: bool,
) -> T:
    """Run the work to its end; what it gives. `is_shared`: functions run in its loop too."""
    pid = os.getpid()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()
        if is_shared:
            _keep_log()
            loop.set_task_factory(cast("Any", make_own_task))
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
                if isinstance(error, KeyboardInterrupt) and _ends_by_ctrl_c():
                    raise
                _log.warning("a function left the worker's loop, which goes on: %.4096r", named(error))
        return task.result()


class _Lent(io.TextIOWrapper):
    """A stream on the buffer of another, which goes on when this one is closed."""

    def close(self) -> None:
        """Close nothing."""
        self.flush()


def _keep_log() -> None:
    """Log to where stderr is now, whatever a function does to sys.stderr: functions have a stream of their own."""
    logging.raiseExceptions = False
    buffer = getattr(sys.stderr, "buffer", None)
    if buffer is not None:
        sys.stderr = _Lent(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _ends_by_ctrl_c() -> bool:
    """Whether Ctrl-C ends the program: the worker does not listen to it yet, or no longer."""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
