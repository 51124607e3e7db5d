"""The long polls of one broker, and how the store wakes them: scripts publish each group that becomes ready.

A message is lost while the connection is down. So a long poll also repeats its call now and then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from broker.resp import keys

_log = logging.getLogger(__name__)
_RETRY_S = 0.5


class Notifier:
    """Wakes the long polls of one broker, and its reaper. Use it as an async context manager."""

    def __init__(self, listener: Redis, partitions: Sequence[str], *others: tuple[Redis, Sequence[str]]) -> None:
        """`others` are further servers, each with its own partitions."""
        self._listeners = ((listener, partitions), *others)
        self._waiting: dict[object, tuple[frozenset[str], Callable[[], None]]] = {}
        self._on_timer: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._keep_listening(*one)) for one in self._listeners]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener, _partitions in self._listeners:
            await listener.aclose()

    @property
    def is_awaited(self) -> bool:
        """Whether any long poll waits."""
        return bool(self._waiting)

    @contextlib.contextmanager
    def waiting(self, groups: Sequence[str], wake: Callable[[], None]) -> Iterator[None]:
        """Inside the block, call `wake` when one of the groups may dispatch a job; without groups, when any may."""
        key = object()
        self._waiting[key] = frozenset(groups), wake
        try:
            yield
        finally:
            del self._waiting[key]

    def on_timer(self, callback: Callable[[], None]) -> None:
        """Call this when the store's first timer is now earlier, and after each connect, when it may be."""
        self._on_timer.append(callback)

    def wake(self, group: str | None = None) -> None:
        """Wake the long polls of a group; without a group, all."""
        for groups, wake in list(self._waiting.values()):
            if group is None or not groups or group in groups:
                wake()

    async def _keep_listening(self, listener: Redis, partitions: Sequence[str]) -> None:
        while True:
            try:
                await self._listen(listener, partitions)
            except (RedisError, OSError) as fault:
                _log.warning("not listening to the store: %s; again in %s s", fault, _RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _listen(self, listener: Redis, partitions: Sequence[str]) -> None:
        timers = [keys.timer(p) for p in partitions]
        async with listener.pubsub(ignore_subscribe_messages=False) as channels:
            await channels.subscribe(*(keys.notify(p) for p in partitions), *timers)
            async for message in channels.listen():
                if message["type"] == "subscribe":  # messages before this moment may be lost
                    self.wake()
                    self._call_on_timer()
                elif message["channel"].decode() in timers:
                    self._call_on_timer()
                else:
                    self.wake(message["data"].decode())

    def _call_on_timer(self) -> None:
        for callback in self._on_timer:
            callback()
