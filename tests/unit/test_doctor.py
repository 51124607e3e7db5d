"""What `titan doctor` makes of what a store says."""

from typing import Any

import pytest

from broker.diagnostics import doctor
from broker.models.doctor import DoctorLine

GOOD: dict[str, Any] = {
    "redis_version": "7.2.4",
    "valkey_version": "9.1.2",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "maxmemory_policy": "noeviction",
    "maxmemory": 0,
    "used_memory": 2**20,
    "total_system_memory": 2**30,
}


def is_ok(line: DoctorLine) -> bool:
    """A line is ok exactly when there is nothing to do."""
    assert (line.state == "ok") == (line.advice == "")
    return line.state == "ok"


@pytest.mark.parametrize(
    ("versions", "found", "ok"),
    [
        ({"valkey_version": "9.1.2", "redis_version": "7.2.4"}, "Valkey 9.1.2", True),
        ({"valkey_version": "7.2.0", "redis_version": "7.2.4"}, "Valkey 7.2.0", True),
        ({"redis_version": "7.0.15"}, "Redis 7.0.15", True),
        ({"redis_version": "10.0.0"}, "Redis 10.0.0", True),
        ({"redis_version": "6.2.19"}, "Redis 6.2.19", False),
        ({}, "Redis 0", False),
    ],
)
def test_version(versions: dict[str, str], found: str, ok: bool) -> None:
    """Redis from 7.0 and Valkey from 7.2 will do; Valkey's own version counts, not the one it is compatible with."""
    line = doctor.version(versions)
    assert (line.found, is_ok(line)) == (found, ok)


@pytest.mark.parametrize(
    ("changes", "fsync", "state", "advice"),
    [
        ({}, "everysec", "ok", ""),
        ({}, "always", "ok", ""),
        ({}, "no", "wrong", "appendfsync everysec"),
        ({}, None, "unknown", "ask its operator"),
        ({"aof_enabled": 0}, "everysec", "wrong", "appendonly yes"),
        ({"aof_last_write_status": "err"}, "everysec", "wrong", "disk"),
        ({"aof_last_bgrewrite_status": "err"}, "everysec", "wrong", "disk"),
    ],
)
def test_persistence(changes: dict[str, Any], fsync: str | None, state: str, advice: str) -> None:
    """The append-only file must be on, written without error, and synced at least each second."""
    line = doctor.persistence(GOOD | changes, fsync)
    assert line.state == state
    assert advice in line.advice


@pytest.mark.parametrize(("policy", "ok"), [("noeviction", True), ("allkeys-lru", False), ("volatile-ttl", False)])
def test_eviction(policy: str, ok: bool) -> None:
    """A store that evicts would throw jobs away."""
    assert is_ok(doctor.eviction(GOOD | {"maxmemory_policy": policy})) == ok


@pytest.mark.parametrize(("used", "limit", "ok"), [(10, 0, True), (79, 100, True), (80, 100, False), (101, 100, False)])
def test_memory(used: int, limit: int, ok: bool) -> None:
    """From four fifths of maxmemory there is something to do; without maxmemory there is no such share."""
    assert is_ok(doctor.memory(GOOD | {"used_memory": used * 2**20, "maxmemory": limit * 2**20})) == ok


@pytest.mark.parametrize(("skew_s", "ok"), [(0.0, True), (1.0, True), (-1.0, True), (1.1, False), (-3600.0, False)])
def test_clock(skew_s: float, ok: bool) -> None:
    """More than a second between the clocks is reported, either way."""
    assert is_ok(doctor.clock(skew_s)) == ok


@pytest.mark.parametrize(("ahead_s", "ok"), [(0.0, True), (2.0, True), (2.1, False), (3600.0, False)])
def test_clock_that_went_back(ahead_s: float, ok: bool) -> None:
    """No stored event is later than the store's clock unless that went back: the report says how far, with advice."""
    line = doctor.clock(0.0, ahead_s)
    assert is_ok(line) == ok
    assert ok or ("3,600 s ahead" in line.found) == (ahead_s == 3600)
    assert ok or "leases and delays" in line.advice


@pytest.mark.parametrize(("kept", "ours", "ok"), [(None, 4, True), (4, 4, True), (4, 1, False)])
def test_partitions(kept: int | None, ours: int, ok: bool) -> None:
    """The number of partitions must be the store's; one that was never used has none yet."""
    assert is_ok(doctor.partitions(kept, ours)) == ok


@pytest.mark.parametrize(("late_s", "ok"), [(-5.0, True), (0.0, True), (1.0, True), (1.1, False)])
def test_reaper(late_s: float, ok: bool) -> None:
    """A timer that is more than a second late means that nobody reaps."""
    assert is_ok(doctor.reaper(late_s)) == ok


@pytest.mark.parametrize(("age_s", "ok"), [(0.0, True), (5.0, True), (5.1, False)])
def test_settlement(age_s: float, ok: bool) -> None:
    """An end of a job that waits for more than five seconds means that nobody settles."""
    assert is_ok(doctor.settlement(age_s)) == ok
