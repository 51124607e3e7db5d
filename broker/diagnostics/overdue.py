"""How late the timers of the store are. Above a second no reaper runs, or it is too slow."""

from typing import cast

from broker.resp import keys
from broker.resp.replies_to_errors import translate_errors
from broker.store.job_store import JobStore


async def reaper_lag_ms(store: JobStore, partition: str) -> float:
    """How late the oldest timer of a partition is, in ms; below 0 when nothing is due. Raises StoreUnavailable."""
    redis = store.topology.of(partition).redis
    seconds, microseconds = cast("tuple[int, int]", await translate_errors(redis.time()))
    now = seconds * 1000 + microseconds // 1000
    first = cast(
        "list[tuple[bytes, float]]",
        await translate_errors(redis.zrange(keys.due(partition), 0, 0, withscores=True)),
    )
    return now - first[0][1] if first else 0.0
