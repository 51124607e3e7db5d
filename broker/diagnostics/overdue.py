"""How late the timers of the store are. Above a second no reaper runs, or it is too slow."""

from typing import cast

from broker.resp import keys
from broker.resp.replies_to_errors import translate_errors
from broker.store.job_store import JobStore


async def reaper_lag_ms(store: JobStore) -> list[float]:
    """For each partition how late its oldest timer is, in ms; below 0 when nothing is due. Raises StoreUnavailable."""
    late = []
    for partition in store.partitions:
        redis = store.topology.of(partition).redis
        seconds, microseconds = cast("tuple[int, int]", await translate_errors(redis.time()))
        now = seconds * 1000 + microseconds // 1000
        first = cast(
            "list[tuple[bytes, float]]",
            await translate_errors(redis.zrange(keys.due(partition), 0, 0, withscores=True)),
        )
        late.append(now - first[0][1] if first else 0.0)
    return late
