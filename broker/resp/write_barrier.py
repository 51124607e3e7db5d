"""The write barrier: waits until jobs are on the store's disk, and on the disks of replicas if required.

The store counts all writes in one sequence. So a barrier writes one small key, and waits with WAITAOF on the same
connection: all earlier writes are then on disk too. Callers within about 10 ms share one barrier.
"""

import asyncio
import time
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from broker.core.errors import NotDurable, StoreUnavailable, TitanError
from broker.resp import keys
from broker.resp.client import connect_barrier
from broker.resp.moving_server import MovingServer
from broker.resp.replies_to_errors import translate_errors

_GATHER_S = 0.01
_CHECK_S = 0.5
"""The longest wait for the store's reply on whether it supports WAITAOF, in s. That is asked once."""
_CONNECTIONS = 128
"""More than the barriers that begin in the second that `appendfsync everysec` may take."""
_UNKNOWN = "The store cannot report when a job is on its disk; nothing was enqueued. It answered: "
_LATE = (
    "The jobs are enqueued, but the store has not confirmed within {0:g} s that they are on its disk{1}: "
    "repeat the request with the same Idempotency-Key."
)


class BarrierDeadline(NamedTuple):
    """The deadline of a call by the monotonic clock, in s, and how often the server had moved when the call began."""

    at: float
    moves: int


class WriteBarrier:
    """Barriers of the server of `redis`, on separate connections: WAITAOF blocks all later commands of a connection.

    An enqueue has `limit_s` in all, and the barrier gets the rest of that. `replicas` is the number of replicas that
    must have the jobs on their disks too. After a failover another server may confirm writes that it never had: so no
    barrier holds for a call that began before `moving`, the server, moved.
    """

    def __init__(self, redis: Redis, limit_s: float, replicas: int, moving: MovingServer | None = None) -> None:
        self._redis = connect_barrier(redis, limit_s, _CONNECTIONS)
        self._limit_s = limit_s
        self._moving = moving
        self._replicas = replicas
        self._is_supported = False
        self._checking: asyncio.Task[None] | None = None
        self._next: dict[str, asyncio.Task[tuple[int, int]]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def due(self) -> BarrierDeadline:
        """The deadline of a call that begins now."""
        return BarrierDeadline(time.monotonic() + self._limit_s, self._moves)

    async def check(self) -> None:
        """Raises NotDurable for a store without WAITAOF (as Redis 7.0) or append-only file, and StoreUnavailable."""
        if self._is_supported:
            return
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
            self._checking.add_done_callback(_retrieve_error)
        try:
            async with asyncio.timeout(_CHECK_S):
                await asyncio.shield(self._checking)
        except TimeoutError as late:
            raise StoreUnavailable from late

    async def wait(self, partition: str, due: BarrierDeadline) -> None:
        """Return when all writes before this call are on disk. Raises NotDurable after the deadline, and after a move.

        `due` is the result of `due()` from when the enqueue began.
        """
        barrier = self._next.get(partition)
        if barrier is None:
            barrier = self._next[partition] = asyncio.create_task(self._write_and_wait(partition))
            barrier.add_done_callback(_retrieve_error)
        try:
            async with asyncio.timeout(due.at - time.monotonic()):
                local, replicas = await asyncio.shield(barrier)
        except TimeoutError as late:
            raise self._late() from late
        except TitanError as fault:
            self._is_supported = False
            raise (self._late() if type(fault) is TitanError else fault) from fault
        if local < 1 or replicas < self._replicas or due.moves != self._moves:
            raise self._late()

    @property
    def _moves(self) -> int:
        return self._moving.moves if self._moving is not None else 0

    async def _check(self) -> None:
        try:
            await translate_errors(cast("Any", self._redis).execute_command("WAITAOF", 1, 0, 1))
        except TitanError as fault:
            if type(fault) is not TitanError:
                raise
            raise NotDurable(_UNKNOWN + fault.message.removeprefix("The store answered: ")) from fault
        self._is_supported = True

    def _late(self) -> NotDurable:
        return NotDurable(_LATE.format(self._limit_s, f" and on {self._replicas} replicas" if self._replicas else ""))

    async def _write_and_wait(self, partition: str) -> tuple[int, int]:
        try:
            await asyncio.sleep(_GATHER_S)
        finally:
            del self._next[partition]  # a later caller may have written after this barrier
        sending = self._redis.pipeline(transaction=False)
        sending.set(keys.fence(partition), "", px=60_000)
        sending.execute_command("WAITAOF", 1, self._replicas, round(self._limit_s * 1000))
        _, reply = await translate_errors(sending.execute())
        return cast("tuple[int, int]", tuple(reply))


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Retrieve the error of a task whose callers were all cancelled, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
