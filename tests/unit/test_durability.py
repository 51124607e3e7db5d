"""What is said of a store's settings, and when a start is refused."""

import logging

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeout

from broker.core.errors import StoreUnavailable
from broker.diagnostics.durability import Durability, DurabilityMonitor, durability
from tests.stores import Store

GOOD = {"aof_enabled": 1, "aof_last_write_status": "ok", "maxmemory_policy": "noeviction"}
GOOD |= {"role": "master", "redis_version": "7.2.4"}


def test_a_store_that_keeps_jobs():
    """With an append-only file, noeviction and the primary's role there is nothing to warn of."""
    seen = durability(GOOD, "everysec")
    assert seen == Durability("appendonly yes, appendfsync everysec, maxmemory-policy noeviction, role master")
    assert seen.warnings == ()


@pytest.mark.parametrize(
    ("odd", "fsync", "says"),
    [
        ({"aof_enabled": 0}, "everysec", "appendonly no. Jobs are lost when the store ends: set `appendonly yes`."),
        ({"aof_last_write_status": "err"}, "always", "the append-only file cannot be written. "),
        ({}, "no", "appendonly yes, appendfsync no. A power cut loses many seconds of jobs: "),
        ({"maxmemory_policy": "allkeys-lru"}, "everysec", "maxmemory-policy allkeys-lru. A full store would delete "),
        ({"redis_version": "6.2.7"}, "everysec", "Redis 6.2.7. Titan needs Redis 7.0 or newer: upgrade the store."),
        ({"role": "slave"}, "everysec", "role slave. A replica takes no jobs: "),
    ],
)
def test_a_store_that_can_lose_jobs(odd, fsync, says):
    """Each setting that can lose jobs is one weakness, described in words with what to do."""
    [weakness] = durability(GOOD | odd, fsync).weaknesses
    assert weakness.startswith(says)


def test_a_store_that_hides_its_settings():
    """Where CONFIG is not open to us, as with a managed store, that is a doubt and no weakness."""
    seen = durability(GOOD, None)
    assert seen.weaknesses == ()
    assert len(seen.doubts) == 1


@pytest.mark.parametrize("backend", ["valkey"])
async def test_watch_says_what_changes(store, caplog):
    """Each warning is logged when it comes up, and not again while it lasts."""
    caplog.set_level(logging.INFO)
    watch = DurabilityMonitor(store)
    await watch.look()
    watch.say()
    assert "appendonly no" in caplog.text
    caplog.clear()
    await watch.look()
    watch.say()
    assert caplog.text == ""
    await store.redis.config_set("maxmemory-policy", "volatile-lru")
    try:
        seen = await watch.look()
        watch.say()
    finally:
        await store.redis.config_set("maxmemory-policy", "noeviction")
    assert "maxmemory-policy volatile-lru" in caplog.text
    assert len(seen.weaknesses) == 2


@pytest.mark.parametrize("backend", ["valkey"])
async def test_watch_without_the_right_to_see(store, own_server):
    """A user that may not use CONFIG has a doubt, and no weakness."""
    url, _ = own_server("--appendonly", "yes")
    async with Redis.from_url(url) as root:
        await root.execute_command("ACL", "SETUSER", "poor", "on", ">word", "+@all", "-config", "~*")
    async with Redis.from_url(url, username="poor", password="word") as poor:
        seen = await DurabilityMonitor(Store(poor, store.settings)).look()
    assert (seen.weaknesses, len(seen.doubts)) == ((), 1)


@pytest.mark.parametrize(("fault", "is_told"), [(NoPermissionError("NOPERM"), True), (RedisTimeout("late"), False)])
async def test_a_store_that_refuses_config(
    store: Store, monkeypatch: pytest.MonkeyPatch, fault: Exception, is_told: bool
) -> None:
    """Only a refusal means that CONFIG is not allowed; a store that is late is tried again."""
    [server] = store.topology.all

    async def info(*_: str) -> dict[str, object]:
        return GOOD

    async def config_get(*_: str) -> None:
        raise fault

    monkeypatch.setattr(server.redis, "info", info)
    monkeypatch.setattr(server.redis, "config_get", config_get)
    if is_told:
        assert "appendfsync unknown" in (await DurabilityMonitor(store).look()).settings
    else:
        with pytest.raises(StoreUnavailable):
            await DurabilityMonitor(store).look()
