"""Who waits for jobs here, and how the store wakes them: the scripts say on `wake` which group became ready.

A message can be lost while the connection is away, so who waits also looks by itself now and then.
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
_AGAIN_S = 0.5


class Notifier:
    """The long polls of one broker, and what wakes the reaper. Use it as an async context manager."""

    def __init__(self, listener: Redis, partitions: Sequence[str], *others: tuple[Redis, Sequence[str]]) -> None:
        """`others` are further servers, each with the partitions that live there."""
        self._listeners = ((listener, partitions), *others)
        self._waiting: dict[object, tuple[frozenset[str], Callable[[], None]]] = {}
        self._on_timer: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._heard: set[Redis] = set()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._listen_for_ever(*one)) for one in self._listeners]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self._listeners:
            await one[0].aclose()

    @property
    def is_listening(self) -> bool:
        """Whether every server is heard."""
        return len(self._heard) == len(self._listeners)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    @contextlib.contextmanager
    def waiting(self, groups: Sequence[str], look: Callable[[], None]) -> Iterator[None]:
        """Inside the block `look` is called when one of the groups, or with none given any, may hand out a job."""
        place = object()
        self._waiting[place] = frozenset(groups), look
        try:
            yield
        finally:
            del self._waiting[place]

    def on_timer(self, tell: Callable[[], None]) -> None:
        """Call this when the store's first timer moved closer, or may have."""
        self._on_timer.append(tell)

    def wake(self, group: str | None = None) -> None:
        """Wake those who wait for the group; without one, all."""
        for groups, look in list(self._waiting.values()):
            if group is None or not groups or group in groups:
                look()

    async def _listen_for_ever(self, listener: Redis, partitions: Sequence[str]) -> None:
        while True:
            try:
                await self._listen(listener, partitions)
            except (RedisError, OSError) as fault:
                _log.warning("not listening to the store: %s; again in %s s", fault, _AGAIN_S)
            finally:
                self._heard.discard(listener)
            await asyncio.sleep(_AGAIN_S)

    async def _listen(self, listener: Redis, partitions: Sequence[str]) -> None:
        timers = [keys.timer(p) for p in partitions]
        async with listener.pubsub(ignore_subscribe_messages=False) as channels:
            await channels.subscribe(*(keys.notify(p) for p in partitions), *timers)
            async for message in channels.listen():
                if message["type"] == "subscribe":
                    self._heard.add(listener)
                    self._tell_all()
                elif message["channel"].decode() in timers:
                    self._tell_timers()
                else:
                    self.wake(message["data"].decode())

    def _tell_all(self) -> None:
        self.wake()
        self._tell_timers()

    def _tell_timers(self) -> None:
        for tell in self._on_timer:
            tell()
