"""Keys of a wrong type, which somebody wrote by hand: verbs refuse with one word, and the check names the key."""

import pytest

from broker.core.errors import StoreDamaged
from broker.diagnostics.consistency import Scope, check, steps_of
from broker.diagnostics.key_types import type_of
from broker.resp import keys
from tests.contract.building import GROUP, enqueue, partition, queued
from tests.stores import Store

OTHER = "news"


@pytest.mark.parametrize(
    "rest", ["jobs", "executions", "groups", "ready", "sequence", f"group:{GROUP}:queued", "audit"]
)
async def test_check_names_a_key_of_a_wrong_type(store: Store, rest: str) -> None:
    """Whatever key it is, it is the one finding, for all and for its partition; it stays as it is."""
    await queued(store)
    key = f"{partition(store, GROUP)}:{rest}"
    await store.redis.delete(key)
    await store.redis.sadd(key, "x")
    what = f"the key {key} is a set, not a {type_of(rest)}"
    assert await steps_of(store) >= 0
    for is_repair in (False, True):
        [finding] = await check(store, is_repair=is_repair)
        assert (finding.what, finding.is_repaired) == (what, False)
    await store.redis.flushall()
    await queued(store)


async def test_one_damaged_group(store: Store) -> None:
    """Verbs of the group are refused, those of others are not, and only a check of this group has a finding."""
    key = keys.group(partition(store, GROUP), GROUP)
    await store.redis.set(key, "nonsense")
    with pytest.raises(StoreDamaged):
        await enqueue(store)
    await enqueue(store, OTHER)
    [finding] = await check(store, Scope(group=GROUP))
    assert finding.group == GROUP
    assert await check(store, Scope(group=OTHER)) == []
    await store.redis.delete(key)
    await check(store, is_repair=True)  # a script that met the key may have done a part of its work


async def test_keys_of_others_are_left_alone(store: Store) -> None:
    """A key of an unknown kind, which a newer build may have, and keys of other programs are no finding."""
    p = partition(store, GROUP)
    others = (f"{p}:novelty", f"{p}:group:{GROUP}:novelty", f"{store.settings.key_prefix}-2:{{0}}:jobs", "jobs")
    await queued(store)
    for key in others:
        await store.redis.sadd(key, "x")
    assert await check(store) == []
    await store.redis.delete(*others)
