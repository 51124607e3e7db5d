"""`titan doctor`: the conditions for a store that keeps jobs, one line each, with advice where one is not met."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct

from broker.core.errors import TitanError
from broker.diagnostics.clock_skew import ahead_ms
from broker.diagnostics.overdue import reaper_lag_ms
from broker.resp.bootstrap import set_up_key
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server
from broker.store.job_store import JobStore

REDIS_VERSION, VALKEY_VERSION = (7, 0), (7, 2)
MEMORY_SHARE = 0.8
"""From this share of maxmemory on it advises to act."""

SKEW_S, LATE_S, AHEAD_S = 1.0, 1.0, 2.0


class DoctorLine(Struct, frozen=True, kw_only=True):
    """One condition. `advice` is '' if it is met; `unknown`: the store does not show it."""

    about: str
    state: Literal["ok", "wrong", "unknown"]
    found: str
    advice: str = ""


async def look(store: JobStore) -> AsyncIterator[DoctorLine]:
    """All lines, in order, for each server. Raises StoreUnavailable if one does not answer."""
    seen: set[str] = set()
    for server in store.topology.all:
        info = cast("dict[str, Any]", await translate_errors(server.redis.info("all")))
        if (run_id := str(info.get("run_id", server.shown))) in seen:
            continue  # a node of a cluster with several partitions
        seen.add(run_id)
        node = f" {run_id[:8]}" if server.is_clustered else ""
        name = f" of {server.shown}{node}" if len(store.topology.all) > 1 else ""
        lines = (
            version(info),
            await _persistence(server, info),
            eviction(info),
            memory(info),
            await _clock(store, server),
        )
        for line in lines:
            yield msgspec.structs.replace(line, about=line.about + name)
    for look_at in (_partitions, _reaper):
        yield await look_at(store)


def version(info: Mapping[str, Any]) -> DoctorLine:
    """The server and its version, from INFO."""
    name, text, least = "Redis", str(info.get("redis_version", "0")), REDIS_VERSION
    if "valkey_version" in info:
        name, text, least = "Valkey", str(info["valkey_version"]), VALKEY_VERSION
    is_new = tuple(int(number) for number in re.findall(r"\d+", text)[:2]) >= least
    advice = "" if is_new else f"Titan needs {name} {least[0]}.{least[1]} or newer: upgrade the store."
    return _line("version", f"{name} {text}", advice)


def persistence(info: Mapping[str, Any], fsync: str | None) -> DoctorLine:
    """Whether acknowledged jobs survive a crash of the store, from INFO and appendfsync (None: unknown)."""
    if not info.get("aof_enabled"):
        return _line("persistence", "appendonly no", "Jobs are lost when the store ends: set `appendonly yes`.")
    if "err" in (info.get("aof_last_write_status"), info.get("aof_last_bgrewrite_status")):
        return _line("persistence", "the append-only file cannot be written", "Look at the store's log and its disk.")
    if fsync is None:
        advice = "The store does not allow CONFIG: ask its operator that appendfsync is everysec or always."
        return DoctorLine(
            about="persistence", state="unknown", found="appendonly yes, appendfsync unknown", advice=advice
        )
    advice = (
        "" if fsync in {"everysec", "always"} else "A power cut loses many seconds of jobs: set `appendfsync everysec`."
    )
    return _line("persistence", f"appendonly yes, appendfsync {fsync}", advice)


def eviction(info: Mapping[str, Any]) -> DoctorLine:
    """What the store does when it is full, from INFO."""
    policy = str(info.get("maxmemory_policy", "unknown"))
    advice = "" if policy == "noeviction" else "A full store would delete jobs: set `maxmemory-policy noeviction`."
    return _line("eviction", f"maxmemory-policy {policy}", advice)


def memory(info: Mapping[str, Any]) -> DoctorLine:
    """How full the store is, from INFO."""
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    total = int(info.get("total_system_memory", 0))
    if not limit:
        return _line("memory", f"{_mib(used)} used; no maxmemory; the machine has {_mib(total)}")
    advice = (
        "" if used < MEMORY_SHARE * limit else "Enqueue is refused when it is full: raise maxmemory, or retain less."
    )
    return _line("memory", f"{_mib(used)} of {_mib(limit)} used", advice)


def clock(skew_s: float, ahead_s: float = 0.0) -> DoctorLine:
    """How far the clock of this machine is from the store's, which decides everything; and whether that one went back.

    `ahead_s`: how far the newest past event of the store is ahead of its clock.
    """
    found, advice = f"the store's is {skew_s:+.3f} s from ours", []
    if ahead_s > AHEAD_S:
        found += f"; it went back: its newest time is {ahead_s:,.0f} s ahead of it"
        advice.append(
            "Until it has caught up, leases and delays given before end as much later, finished jobs are kept as much "
            "longer, and new jobs are listed before older ones: run NTP on the store's machines."
        )
    if abs(skew_s) > SKEW_S:
        advice.append("Times of reports and logs will look wrong: run NTP on both machines.")
    return _line("clock", found, " ".join(advice))


def partitions(kept: int | None, ours: int) -> DoctorLine:
    """The number of partitions of the store, and ours."""
    found = "not set up yet" if kept is None else f"{kept}"
    return _line(
        "partitions", found, "" if kept in {None, ours} else f"Brokers must have --partitions {kept}, not {ours}."
    )


def reaper(late_s: float) -> DoctorLine:
    """How late the oldest timer of the store is."""
    found = f"the oldest timer is {late_s:.1f} s late" if late_s > 0 else "nothing is due"
    advice = (
        ""
        if late_s <= LATE_S
        else "No reaper runs, or it cannot keep up: run a broker with --reaper, and read its log."
    )
    return _line("reaper", found, advice)


async def _persistence(server: Server, info: Mapping[str, Any]) -> DoctorLine:
    try:
        kept = cast("dict[Any, Any]", await translate_errors(server.redis.config_get("appendfsync")))
    except TitanError:
        kept = {}
    values = {_text(name): _text(value) for name, value in kept.items()}
    return persistence(info, values.get("appendfsync"))


async def _clock(store: JobStore, server: Server) -> DoctorLine:
    before = time.time()
    seconds, microseconds = cast("tuple[int, int]", await translate_errors(server.redis.time()))
    middle = (before + time.time()) / 2
    now_s = seconds + microseconds / 1e6
    ahead_s = await ahead_ms(server, store.topology.partitions_of(server), now_s * 1000) / 1000
    return clock(now_s - middle, ahead_s)


async def _partitions(store: JobStore) -> DoctorLine:
    server = store.topology.all[0]
    kept = await translate_errors(server.redis.get(set_up_key(store.settings.key_prefix, server, store.partitions[0])))
    return partitions(None if kept is None else int(kept), store.settings.partitions)


async def _reaper(store: JobStore) -> DoctorLine:
    return reaper(max(await reaper_lag_ms(store)) / 1000)


def _line(about: str, found: str, advice: str = "") -> DoctorLine:
    return DoctorLine(about=about, state="wrong" if advice else "ok", found=found, advice=advice)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
