"""How long an ended lease stays where it is: what the reapers are late by, whoever takes the job up after them."""

import asyncio
import contextlib
from collections import defaultdict
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.system.chaos.node import Node
from tests.system.chaos.scene import PREFIX, Scene

_STEP_S = 0.02
"""How often a server is looked at, in s for each server."""


class Lateness:
    """What was seen of the leases of one partition on one server.

    `longest_s` is the longest that a lease had ended, counted from its end, or from when the server could write again
    if that was later: while it cannot, nobody can requeue a job.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._able_since_ms: float | None = None

    def saw(self, now_ms: float, ends_ms: float | None, *, is_able: bool) -> None:
        """What one look found: the server's time, the end of the first lease, and whether it takes writes."""
        if not is_able:
            self._able_since_ms = None
            return
        if self._able_since_ms is None:
            self._able_since_ms = now_ms
        if ends_ms is not None:
            self.longest_s = max(self.longest_s, (now_ms - max(ends_ms, self._able_since_ms)) / 1000)


class Overdue:
    """Looks into each server again and again. Use it as an async context manager."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._is_looking = True
        self._seen: dict[tuple[Node, int], Lateness] = defaultdict(Lateness)

    @property
    def longest_s(self) -> float:
        """The longest that a lease had ended, on any server."""
        return max((lateness.longest_s for lateness in self._seen.values()), default=0.0)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._look_again_and_again(node)) for node in self._scene.nodes]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_looking = False  # a cancel may be lost: the client turns one that meets a time-out into TimeoutError
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look_again_and_again(self, node: Node) -> None:
        client = Redis(unix_socket_path=str(node.socket), socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
        async with contextlib.aclosing(client):
            while self._is_looking:
                held = dict(self._scene.holders()).get(node, range(0))
                try:
                    await self._look(client, node, held)
                except (RedisError, OSError):
                    held = range(0)
                for (other, number), lateness in self._seen.items():
                    if other is node and number not in held:
                        lateness.saw(0, None, is_able=False)
                await asyncio.sleep(_STEP_S * len(self._scene.nodes))

    async def _look(self, client: Redis, node: Node, held: range) -> None:
        if not held:
            return
        asking = client.pipeline(transaction=False)
        asking.time()
        asking.execute_command("ROLE")
        for number in held:
            for group in self._scene.groups[number]:
                asking.zrange(f"{PREFIX}:{{{number}}}:group:{group}:running", 0, 0, withscores=True)
        (seconds, microseconds), role, *firsts = await asking.execute(raise_on_error=False)
        now_ms = seconds * 1000 + microseconds / 1000
        found = iter(firsts)
        for number in held:
            replies = [next(found) for _ in self._scene.groups[number]]
            self._note(self._seen[node, number], now_ms, role, replies)

    @staticmethod
    def _note(lateness: Lateness, now_ms: float, role: Any, replies: list[Any]) -> None:
        """A node of a cluster answers with an error for a partition that it does not hold."""
        is_able = role[0] == b"master" and not any(isinstance(reply, Exception) for reply in replies)
        ends = [reply[0][1] for reply in replies if reply] if is_able else []
        lateness.saw(now_ms, min(ends, default=None), is_able=is_able)
