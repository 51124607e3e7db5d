"""Notes for which groups and images consumers ask, so that `why` knows when nobody does.

`next` only adds to a set in memory. Every 10 s one script call a partition writes it to the store.
"""

import asyncio
import logging
import random

import msgspec

from broker.core.errors import TitanError
from broker.resp.partitions import Partitions
from broker.store.clock import Clock

FLUSH_S = 10.0
"""How often the store is written, in s, on average."""
ALL, ANY = "*", ""
"""Instead of a group: all groups. Instead of an image: any."""
_MOST_CALLS = 1000
_MOST_PAIRS = 100
"""A call for more groups times images than this counts as one for any image of its groups."""

_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)

_Call = tuple[tuple[str, ...], tuple[str, ...]]
Pair = tuple[str, str]
"""A group, or ALL, and an image as a JSON string, or ANY."""


class Asked:
    """The calls of `next` since the last flush."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock
        self._calls: set[_Call] = set()
        self._last: _Call | None = None

    def note(self, groups: tuple[str, ...], images: tuple[str, ...]) -> None:
        """Somebody asks for jobs of these groups and images; of all if there are none."""
        call = (groups, images)
        if call != self._last and len(self._calls) < _MOST_CALLS:
            self._calls.add(call)
            self._last = call

    @property
    def pairs(self) -> set[Pair]:
        """What was asked for since the last flush."""
        return {pair for groups, images in self._calls for pair in _pairs(groups, images)}

    async def flush(self) -> None:
        """Write to the store what was asked for. Raises StoreUnavailable."""
        pairs, self._calls, self._last = sorted(self.pairs), set(), None
        names = self._partitions.names
        own = {
            name: [pair for pair in pairs if pair[0] == ALL or self._partitions.of(pair[0]) == name] for name in names
        }
        written = [name for name in names if own[name]]
        words = [[self._clock.now, *(word for pair in own[name] for word in pair)] for name in written]
        for reply in await self._partitions.run_where("ask", written, words):
            if isinstance(reply, TitanError):
                raise reply

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S * random.uniform(0.9, 1.1))  # noqa: S311 -- no secret
            try:
                await self.flush()
            except TitanError as error:
                _log.debug("who asks for jobs was not noted: %s", error)


def _pairs(groups: tuple[str, ...], images: tuple[str, ...]) -> list[Pair]:
    names = groups or (ALL,)
    if not images or len(names) * len(images) > _MOST_PAIRS:
        return [(name, ANY) for name in names]
    return [(name, _encode(image).decode()) for name in names for image in images]
