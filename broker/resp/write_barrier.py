"""Waiting until what the store has taken is on its disk, and on its replicas where that is asked for.

The store counts all that it was ever told to write in one row, so whoever writes a little now, the fence, and waits for
that on the same connection waits for everything before it too. All who ask at about the same time share one fence.
"""

import asyncio
import time
from typing import Any, cast

from redis.asyncio import Redis

from broker.core.errors import NotDurable, StoreUnavailable, TitanError
from broker.resp import keys
from broker.resp.client import connect_fences
from broker.resp.replies_to_errors import spoken

_GATHER_S = 0.01
_CHECK_S = 0.5
"""How long the store may take to say whether it can say it at all; it is asked once."""
_CONNECTIONS = 128
"""More than there are gatherings in the second that `appendfsync everysec` may take."""
_UNKNOWN = "The store cannot say when a job is on its disk; nothing was enqueued. It answered: "
_LATE = (
    "The jobs are enqueued, but the store has not said within {0:g} s that they are on its disk{1}: "
    "repeat the request with the same Idempotency-Key."
)


class WriteBarrier:
    """Fences of the store of `redis`, on connections of their own: a wait would hold up what is sent behind it.

    Who enqueues has `limit_s` for all of it, of which the fence gets what is left; so many `replicas` must have it on
    their disks too.
    """

    def __init__(self, redis: Redis, limit_s: float, replicas: int) -> None:
        self._redis = connect_fences(redis, limit_s, _CONNECTIONS)
        self._limit_s = limit_s
        self._replicas = replicas
        self._is_able = False
        self._asking: asyncio.Task[None] | None = None
        self._next: dict[str, asyncio.Task[tuple[int, int]]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def due(self) -> float:
        """When a call that begins now must have its answer, by the monotonic clock, in s."""
        return time.monotonic() + self._limit_s

    async def check(self) -> None:
        """Raises NotDurable when this store can never say it: Redis 7.0, or no append-only file; StoreUnavailable."""
        if self._is_able:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_seen)
        try:
            async with asyncio.timeout(_CHECK_S):
                await asyncio.shield(self._asking)
        except TimeoutError as late:
            raise StoreUnavailable from late

    async def wait(self, partition: str, due: float) -> None:
        """Return when all that the store took before this call is safe. Raises NotDurable when it is not in time.

        `due` is what `due` told when the enqueue began.
        """
        fence = self._next.get(partition)
        if fence is None:
            fence = self._next[partition] = asyncio.create_task(self._fence(partition))
            fence.add_done_callback(_seen)
        try:
            async with asyncio.timeout(due - time.monotonic()):
                local, replicas = await asyncio.shield(fence)
        except TimeoutError as late:
            raise self._late() from late
        except TitanError as fault:
            self._is_able = False
            raise (self._late() if type(fault) is TitanError else fault) from fault
        if local < 1 or replicas < self._replicas:
            raise self._late()

    async def _ask(self) -> None:
        try:
            await spoken(cast("Any", self._redis).execute_command("WAITAOF", 1, 0, 1))
        except TitanError as fault:
            if type(fault) is not TitanError:
                raise
            raise NotDurable(_UNKNOWN + fault.message.removeprefix("The store answered: ")) from fault
        self._is_able = True

    def _late(self) -> NotDurable:
        return NotDurable(_LATE.format(self._limit_s, f" and on {self._replicas} replicas" if self._replicas else ""))

    async def _fence(self, partition: str) -> tuple[int, int]:
        try:
            await asyncio.sleep(_GATHER_S)
        finally:
            del self._next[partition]  # who asks from now on may have written after the fence
        sending = self._redis.pipeline(transaction=False)
        sending.set(keys.fence(partition), "", px=60_000)
        sending.execute_command("WAITAOF", 1, self._replicas, round(self._limit_s * 1000))
        _, reply = await spoken(sending.execute())
        return cast("tuple[int, int]", tuple(reply))


def _seen(fence: asyncio.Task[Any]) -> None:
    """A fault that comes after all who waited are gone is nobody's."""
    if not fence.cancelled():
        fence.exception()
