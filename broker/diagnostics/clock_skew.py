"""Finds out whether the clock of a store went back: past events then have times in the future."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from broker.core.states import FINISHED
from broker.resp import keys
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server

_MOST_GROUPS = 1000
"""How many groups of a partition are read, the newest ones."""
_AT_ONCE = 32
_BUCKET_MS = 1000


async def ahead_ms(server: Server, partitions: Iterable[str], now_ms: float) -> float:
    """How far the newest time of a past event in these partitions is ahead of `now_ms`, in ms; 0 if none is.

    Events: creation of groups and jobs, end of jobs, heartbeats of workers, use of rate limits. Raises
    StoreUnavailable.
    """
    newest = now_ms
    for p in partitions:
        named = await _newest(server, keys.groups(p), _MOST_GROUPS)
        groups = [name.decode() for name, _ in named]
        sets = [keys.groups(p), keys.workers(p), keys.discarded(p), *(keys.jobs_of(p, group) for group in groups)]
        sets += [keys.members(p, group, status) for group in groups for status in FINISHED]
        for first in range(0, len(sets), _AT_ONCE):
            found = await asyncio.gather(*[_newest(server, key) for key in sets[first : first + _AT_ONCE]])
            newest = max([newest, *(at for heads in found for _, at in heads)])
        full = await _newest(server, keys.rates(p))
        newest = max([newest, *(at - _BUCKET_MS for _, at in full)])
    return newest - now_ms


async def _newest(server: Server, key: str, n: int = 1) -> list[tuple[bytes, float]]:
    """The last members of a sorted set, with their scores."""
    found: Any = await translate_errors(server.redis.zrevrange(key, 0, n - 1, withscores=True))
    return cast("list[tuple[bytes, float]]", found)
