"""Deadlines of many tasks with one timer: asyncio.timeout sets a timer for each, which costs as much as a short job."""

import asyncio
from types import TracebackType

_CHECK_S = 0.1


class DeadlinePassed(Exception):
    """The block took too long and was cancelled; its result is ignored."""


class Deadlines:
    """`with deadlines.within(s):` cancels the task and raises DeadlinePassed, at most 0.1 s after the deadline."""

    def __init__(self) -> None:
        self._blocks: set[_Block] = set()
        self._timer: asyncio.TimerHandle | None = None

    def within(self, limit_s: float) -> "_Block":
        """A block that may take `limit_s`."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(_CHECK_S, self._check)
        return _Block(self._blocks, loop.time() + limit_s)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for block in self._blocks:
            block.check(now)
        self._timer = loop.call_later(_CHECK_S, self._check) if self._blocks else None


class _Block:
    __slots__ = ("_blocks", "_cancelling", "_has_passed", "_task", "_until")

    def __init__(self, blocks: "set[_Block]", until: float) -> None:
        self._blocks = blocks
        self._until = until
        self._has_passed = False

    def check(self, now: float) -> None:
        """Cancel the task, once, at its deadline."""
        if not self._has_passed and now >= self._until:
            self._has_passed = True
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task has a deadline")
        self._task, self._cancelling = task, task.cancelling()
        self._blocks.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blocks.discard(self)
        if (
            self._has_passed and self._task.uncancel() <= self._cancelling
        ):  # else it was cancelled by another caller too
            raise DeadlinePassed from error
