"""Combines calls made in one iteration of the event loop into one."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from broker.core.inline_task import run_inline

Part = TypeVar("Part")
Result = TypeVar("Result")
Send = Callable[[Sequence[Part]], Coroutine[Any, Any, Sequence[Result]]]

MOST_JOBS = 128
MOST_BYTES = 1024 * 1024
"""Limits of one call, unless it has a single part. A long script blocks the store for other clients. With several calls
the broker also answers one while the store works on the next."""


class Batcher(Generic[Part, Result]):
    """Collects parts. At the end of the iteration `send` gets all of them and returns a result for each, in order.

    `unwanted` is called with a result whose caller is gone. An exception of the call is raised for every part; an
    exception in the place of one result is raised for that part only. `under_way`: calls without an answer yet.
    """

    def __init__(
        self,
        send: Send[Part, Result],
        unwanted: Callable[[Result], None] | None = None,
    ) -> None:
        self._send = send
        self._unwanted = unwanted
        self.under_way: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._parts: list[Part] = []
        self._results: list[asyncio.Future[Result]] = []
        self._jobs = self._bytes = 0

    @property
    def is_busy(self) -> bool:
        """Whether it has parts that were not sent, or calls without an answer."""
        return bool(self._parts or self.under_way)

    def call(self, part: Part, jobs: int, size_bytes: int = 0) -> asyncio.Future[Result]:
        """A future with the result of one part. `jobs` and `size_bytes`: what the part adds to the call."""
        loop = self._loop = self._loop or asyncio.get_running_loop()  # get_running_loop makes a system call each time
        if self._jobs + jobs > MOST_JOBS or self._bytes + size_bytes > MOST_BYTES:
            self._leave()
        if not self._parts:
            loop.call_soon(self._leave)
        result: asyncio.Future[Result] = loop.create_future()
        self._parts.append(part)
        self._results.append(result)
        self._jobs += jobs
        self._bytes += size_bytes
        return result

    def _leave(self) -> None:
        if self._parts:
            parts, results, self._parts, self._results = self._parts, self._results, [], []
            self._jobs = self._bytes = 0
            answered = results[0].get_loop().create_future()
            self.under_way.add(answered)
            run_inline(self._send(parts), partial(self._share, answered, results))

    def _share(
        self,
        answered: asyncio.Future[None],
        awaited: Sequence[asyncio.Future[Result]],
        results: Sequence[Result] | None,
        fault: BaseException | None,
    ) -> None:
        for i, future in enumerate(awaited):
            if results is None:
                if not future.done():
                    future.set_exception(fault or asyncio.CancelledError())
            elif not future.done():
                result = results[i]
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            elif self._unwanted is not None:
                self._unwanted(results[i])
        self.under_way.discard(answered)
        answered.set_result(None)
