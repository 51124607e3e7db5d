"""Watches the primary of one Sentinel service: listens to all sentinels, and asks them each second.

A primary that is cut off from its sentinels continues to accept writes, and loses them when it returns as a replica. So
the broker must not wait for an error.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError

from broker.resp.moving_server import MovingServer
from broker.resp.seeds import Place, Seed, ask_all, faults_of
from broker.resp.sentinel_views import Primary, SentinelView, choose, commands, view_of
from broker.resp.url import StoreAddress

EVERY_S = 1.0
"""How often the sentinels are asked, in s."""
_SHORTEST_S = 0.1
"""The shortest time between two rounds of questions, however much trouble the server has, in s."""
_LISTEN_AGAIN_S = 0.5
_MOST_SENTINELS = 32

_log = logging.getLogger(__name__)


class PrimaryWatch:
    """Knows the primary of one service, and moves `server` when the sentinels name another one.

    Without `run` it still finds the primary for each new connection.
    """

    def __init__(self, address: StoreAddress) -> None:
        self.server = MovingServer(f"the primary of {address.service}", self.find, must_be_primary=True)
        self.server.on_trouble = lambda _: self._soon.set()
        self._address = address
        self._sentinels = {place: Seed(place, address) for place in address.seeds}
        self._listening: dict[Seed, asyncio.Task[None]] = {}
        self._primary: Primary | None = None
        self._round: asyncio.Task[int] | None = None
        self._soon = asyncio.Event()
        self._is_silent = False

    async def find(self) -> Place:
        """Ask all sentinels; the primary. Raises redis-py's ConnectionError if none answers, or none knows it."""
        answers = await self._ask()
        if not answers or self._primary is None:
            raise NotConnected(f"no sentinel names {self.server.name}: {faults_of(self._sentinels.values())}")
        return self._primary.place

    async def run(self) -> None:
        """Listen and ask until cancelled."""
        try:
            while True:
                self._soon.clear()
                self._report(await self._ask())
                for seed in self._sentinels.values():
                    if seed not in self._listening:
                        self._listening[seed] = asyncio.create_task(self._listen(seed))
                await asyncio.sleep(_SHORTEST_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S - _SHORTEST_S):
                        await self._soon.wait()
        finally:
            for task in self._listening.values():
                task.cancel()
            await asyncio.gather(*self._listening.values(), return_exceptions=True)

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        if self._round is not None:
            await asyncio.gather(self._round, return_exceptions=True)
        for seed in self._sentinels.values():
            await seed.close()

    async def _ask(self) -> int:
        """Ask all sentinels once; how many answered. Callers at the same time share the answers."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._round)

    async def _ask_all(self) -> int:
        views: dict[Place, SentinelView] = {}
        async for seed, replies in ask_all(self._sentinels.values(), commands(self._address.service)):
            if (view := seed.read(view_of, replies)) is not None:
                views[seed.place] = view
                if self._primary is not None and view.primary.epoch > self._primary.epoch:
                    self._use(view.primary, f"named by sentinel {seed.place[0]}:{seed.place[1]}")
        chosen = choose(views.values(), self._primary, len(self._sentinels))
        if chosen is not None:
            self._use(chosen, f"named by {len(views)} of {len(self._sentinels)} sentinels")
        if 2 * len(views) > len(self._sentinels):
            self.server.settle()
        await self._learn(views)
        return len(views)

    def _use(self, primary: Primary, by: str) -> None:
        self._primary = primary
        self.server.move(primary.place, f"{by} with config-epoch {primary.epoch}")

    async def _learn(self, views: dict[Place, SentinelView]) -> None:
        """Add sentinels that others name, and forget added ones that nobody names any more."""
        present = {view.sentinel for view in views.values()}
        named = _places(view.others for view in views.values())
        for sentinel, place in named.items():
            if sentinel not in present and place not in self._sentinels and len(self._sentinels) < _MOST_SENTINELS:
                self._sentinels[place] = Seed(place, self._address)
        if 2 * len(views) > len(self._sentinels):
            keep = {*self._address.seeds, *views, *named.values()}
            for place in [place for place in self._sentinels if place not in keep]:
                await self._forget(place)

    async def _forget(self, place: Place) -> None:
        seed = self._sentinels.pop(place)
        if (task := self._listening.pop(seed, None)) is not None:
            task.cancel()
        await seed.close()

    async def _listen(self, seed: Seed) -> None:
        while True:
            try:
                async for message in seed.listen("+switch-master"):
                    if message.partition(" ")[0] == self._address.service:
                        self.server.trouble(f"+switch-master of sentinel {seed.place[0]}:{seed.place[1]}")
            except (RedisError, OSError, TimeoutError) as fault:
                _log.debug("not listening to a sentinel: %s", fault)
            await asyncio.sleep(_LISTEN_AGAIN_S)

    def _report(self, answers: int) -> None:
        """Log once when no sentinel answers, and once when one does again."""
        if self._is_silent == bool(answers):
            self._is_silent = not answers
            if self._is_silent:
                _log.warning("no sentinel answers: a failover of %s would not be noticed", self.server.name)
            else:
                _log.info("sentinels answer again: %d", answers)


def _places(tables: Iterable[dict[str, Place]]) -> dict[str, Place]:
    return {sentinel: place for table in tables for sentinel, place in table.items()}
