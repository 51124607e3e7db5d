"""How late the timers of the store are, and the ends of jobs to be settled. Then no reaper runs, or it is too slow."""

from typing import cast

from broker.resp import keys
from broker.resp.replies_to_errors import translate_errors
from broker.store.job_store import JobStore


async def reaper_lag_ms(store: JobStore, partition: str) -> float:
    """How late the oldest timer of a partition is, in ms; below 0 when nothing is due. Raises StoreUnavailable."""
    return await _age_ms(store, partition, keys.due(partition))


async def unsettled_ms(store: JobStore, partition: str) -> float:
    """How long the first end of a job has waited to be settled, in ms; 0 for none. Raises StoreUnavailable."""
    return await _age_ms(store, partition, keys.settle(partition))


async def _age_ms(store: JobStore, partition: str, key: str) -> float:
    """How long ago the lowest score of a set of times was, in ms."""
    redis = store.topology.of(partition).redis
    first = cast("list[tuple[bytes, float]]", await translate_errors(redis.zrange(key, 0, 0, withscores=True)))
    if not first:
        return 0.0
    seconds, microseconds = cast("tuple[int, int]", await translate_errors(redis.time()))
    return seconds * 1000 + microseconds // 1000 - first[0][1]
