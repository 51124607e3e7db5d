"""How long an ended lease stays where it is: what the reapers are late by, whoever takes the job up after them."""

import asyncio
import contextlib
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.system.chaos.load import GROUP
from tests.system.chaos.scene import PREFIX, Scene

_STEP_S = 0.02
_RUNNING = f"{PREFIX}:{{0}}:group:{GROUP}:running"


class Overdue:
    """Looks into the store again and again. Use it as an async context manager.

    `longest_s` is the longest that a lease was over, counted from its end, or from when the store could write again if
    that was later: while it cannot, nobody can take a job back.
    """

    def __init__(self, scene: Scene) -> None:
        self.longest_s = 0.0
        self._socket = str(scene.socket)
        self._able_since_ms: float | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def saw(self, now_ms: float, ends_ms: float | None, *, is_able: bool) -> None:
        """What one look found: the store's time, the end of the first lease, and whether the store takes writes."""
        if not is_able:
            self._able_since_ms = None
            return
        if self._able_since_ms is None:
            self._able_since_ms = now_ms
        if ends_ms is not None:
            self.longest_s = max(self.longest_s, (now_ms - max(ends_ms, self._able_since_ms)) / 1000)

    async def _look_for_ever(self) -> None:
        once = Retry(NoBackoff(), 0)
        client = Redis(unix_socket_path=self._socket, socket_timeout=0.2, retry=once)
        async with contextlib.aclosing(client):
            while True:
                try:
                    await self._look(client)
                except (RedisError, OSError):
                    self.saw(0, None, is_able=False)
                await asyncio.sleep(_STEP_S)

    async def _look(self, client: Redis) -> None:
        asking = client.pipeline(transaction=False)
        asking.time()
        asking.zrange(_RUNNING, 0, 0, withscores=True)
        asking.execute_command("ROLE")
        (seconds, microseconds), first, role = await asking.execute()
        now_ms = seconds * 1000 + microseconds / 1000
        self.saw(now_ms, first[0][1] if first else None, is_able=role[0] == b"master")
