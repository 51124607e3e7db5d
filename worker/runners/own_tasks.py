"""Tasks that a function can cancel only if it created them, e.g. with `for task in asyncio.all_tasks()`."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from worker.runners import calls

_log = logging.getLogger(__name__)


class OwnTask(asyncio.Task[Any]):
    """A task of the worker, or of the function that created it."""

    call: calls.FunctionCall | None = None
    """The run of that function; None for a task of the worker."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it, unless the caller is a function and the task belongs to the worker or to another function."""
        caller, owner = calls.current(), self.call
        if caller is None or caller is owner or (owner is not None and owner.is_over):
            return super().cancel(msg)
        _log.warning("a function may not cancel a task that is not its own: %.255r", self.get_name())
        return False


def make_own_task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    """The task factory for loops in which functions run."""
    task = OwnTask(work, loop=loop, **options)
    if (call := calls.current()) is not None:
        task.call = call
    return task
