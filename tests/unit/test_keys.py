"""Key names: one slot for a partition, the same slots as Redis Cluster counts."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from broker.core.states import STATUSES
from broker.diagnostics.key_types import type_of
from broker.resp import keys

NAMES = st.text("abcXYZ019_-", min_size=1, max_size=40)
P = "titan:{7}"


def every_key(p):
    """One key of each kind in a partition."""
    sets = [keys.members(p, "maps", status) for status in STATUSES]
    each = (
        keys.groups,
        keys.ready,
        keys.due,
        keys.discarded,
        keys.rates,
        keys.workers,
        keys.brokers,
        keys.pollers,
        keys.image_pollers,
    )
    named = [
        keys.job(p, "0" * 16),
        keys.group(p, "maps"),
        keys.jobs(p),
        keys.jobs_of(p, "maps"),
        keys.answer(p, "maps", "a } { key"),
        keys.worker(p, "w"),
    ]
    return [p + ":sequence", *sets, *named, *(kind(p) for kind in each)]


@pytest.fixture(scope="module")
def server(cluster_url):
    """A cluster, which knows how slots are counted."""
    with Redis.from_url(cluster_url) as client:
        yield client


def test_every_key_of_a_partition_is_in_one_slot(server):
    """Whatever names hold, the partition's tag alone decides the slot, so one script touches one slot."""
    slots = {server.execute_command("CLUSTER KEYSLOT", key) for key in every_key(P)}
    assert slots == {server.execute_command("CLUSTER KEYSLOT", "7")}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(name=NAMES)
def test_partition_of_counts_as_redis_does(server, name):
    """With 16384 partitions the partition of a group is its hash slot, as any other language can compute it."""
    assert keys.partition_of(name, 16_384) == server.execute_command("CLUSTER KEYSLOT", name)


@given(name=NAMES, number=st.integers(1, 1024))
def test_partition_of_is_one_of_them(name, number):
    """A group is in one of the partitions, and with one partition in that."""
    assert 0 <= keys.partition_of(name, number) < number
    assert keys.partition_of(name, 1) == 0


def test_partitions_is_outside_of_them():
    """The number of partitions is kept where no partition's keys are."""
    assert not keys.partitions("titan").startswith(keys.partition("titan", 0))


def test_keys_are_the_words_of_the_design():
    """Names are whole words behind the partition's name."""
    assert all(re.fullmatch(r"titan:\{7\}:[a-z_]+(:.+)?", key) for key in every_key(P))
    assert len(set(every_key(P))) == len(every_key(P))


def test_types_of_keys():
    """Every key in the table of lua/README.md has the type that it says there."""
    page = (Path(__file__).parents[2] / "lua/README.md").read_text("utf-8")
    rows = re.findall(r"^\| (`P:.*?) \| (hash|zset|string|stream)\b", page, re.MULTILINE)
    assert len(rows) > 35
    for names, type_ in rows:
        first, *ends = re.findall(r"`([^`]+)`", names)
        for name in (first, *(first.rpartition(":")[0] + end for end in ends)):
            assert type_of(name.removeprefix("P:")) == type_, name
    assert type_of("novelty") is type_of("group:maps:novelty") is None
