"""`titan doctor`: the conditions for a store that keeps jobs, one line each, with advice where one is not met."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from broker.core.errors import StoreUnavailable, TitanError
from broker.diagnostics.clock_skew import ahead_ms
from broker.diagnostics.doctor_line import line
from broker.diagnostics.obstacles import obstacles, replicas
from broker.diagnostics.overdue import reaper_lag_ms, unsettled_ms
from broker.models.doctor import DoctorLine
from broker.resp.marks import READS, LayoutDiffers, Marks, check_marks, lowest, read_each
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server
from broker.store.job_store import JobStore

REDIS_VERSION, VALKEY_VERSION = (7, 0), (7, 2)
MEMORY_SHARE = 0.8
"""From this share of maxmemory on it advises to act."""

T = TypeVar("T")

SKEW_S, LATE_S, AHEAD_S, UNSETTLED_S = 1.0, 1.0, 2.0, 5.0


async def look(store: JobStore) -> AsyncIterator[DoctorLine]:
    """All lines, in order, for each server. One of several that does not answer has a line with its name.

    Raises StoreUnavailable if none answers.
    """
    servers = store.topology.all
    found = await asyncio.gather(*(_within(store, _report_of(server)) for server in servers))
    infos = {server: info for server, info in zip(servers, found, strict=True) if isinstance(info, dict)}
    away = [server for server in servers if server not in infos]
    for fault in found if not infos else ():
        if isinstance(fault, StoreUnavailable):
            raise fault
    once = {str(info.get("run_id", server.shown)): server for server, info in reversed(infos.items())}
    asked = [(run_id, server) for run_id, server in reversed(once.items())]  # a node may have several partitions
    answers = await asyncio.gather(*(_within(store, _of_server(store, one, infos[one])) for _, one in asked))
    for (run_id, server), lines in zip(asked, answers, strict=True):
        if isinstance(lines, StoreUnavailable):
            away += [one for one, info in infos.items() if info.get("run_id") == infos[server].get("run_id")]
            continue
        node = f" {run_id[:8]}" if server.is_clustered else ""
        name = f" of {server.shown}{node}" if len(servers) > 1 else ""
        for one in lines:
            yield msgspec.structs.replace(one, about=one.about + name)
    faults = [one for one in answers if isinstance(one, StoreUnavailable)]
    if faults and len(away) == len(servers):  # they answer INFO, and nothing else
        raise faults[0]
    for server in away:
        yield unanswered(store.topology.name_of(server))
    async for one in obstacles(store):
        yield one
    async for one in _of_all(store, [server for server in servers if server not in away]):
        yield one


def unanswered(name: str) -> DoctorLine:
    """That one of several servers does not answer."""
    advice = "Its groups wait, and the other groups do not. Start the server, or look at its log and the network."
    return line(f"server {name}", "no answer", advice)


def version(info: Mapping[str, Any]) -> DoctorLine:
    """The server and its version, from INFO."""
    name, text, least = "Redis", str(info.get("redis_version", "0")), REDIS_VERSION
    if "valkey_version" in info:
        name, text, least = "Valkey", str(info["valkey_version"]), VALKEY_VERSION
    is_new = tuple(int(number) for number in re.findall(r"\d+", text)[:2]) >= least
    advice = "" if is_new else f"Titan needs {name} {least[0]}.{least[1]} or newer: upgrade the store."
    return line("version", f"{name} {text}", advice)


def persistence(info: Mapping[str, Any], fsync: str | None) -> DoctorLine:
    """Whether acknowledged jobs survive a crash of the store, from INFO and appendfsync (None: unknown)."""
    if not info.get("aof_enabled"):
        return line("persistence", "appendonly no", "Jobs are lost when the store ends: set `appendonly yes`.")
    if "err" in (info.get("aof_last_write_status"), info.get("aof_last_bgrewrite_status")):
        return line("persistence", "the append-only file cannot be written", "Look at the store's log and its disk.")
    if fsync is None:
        advice = "The store does not allow CONFIG: ask its operator that appendfsync is everysec or always."
        return DoctorLine(
            about="persistence", state="unknown", found="appendonly yes, appendfsync unknown", advice=advice
        )
    advice = (
        "" if fsync in {"everysec", "always"} else "A power cut loses many seconds of jobs: set `appendfsync everysec`."
    )
    return line("persistence", f"appendonly yes, appendfsync {fsync}", advice)


def eviction(info: Mapping[str, Any]) -> DoctorLine:
    """What the store does when it is full, from INFO."""
    policy = str(info.get("maxmemory_policy", "unknown"))
    advice = "" if policy == "noeviction" else "A full store would delete jobs: set `maxmemory-policy noeviction`."
    return line("eviction", f"maxmemory-policy {policy}", advice)


def memory(info: Mapping[str, Any]) -> DoctorLine:
    """How full the store is, from INFO."""
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    total = int(info.get("total_system_memory", 0))
    if not limit:
        return line("memory", f"{_mib(used)} used; no maxmemory; the machine has {_mib(total)}")
    advice = (
        "" if used < MEMORY_SHARE * limit else "Enqueue is refused when it is full: raise maxmemory, or retain less."
    )
    return line("memory", f"{_mib(used)} of {_mib(limit)} used", advice)


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
    return line("clock", found, " ".join(advice))


def layout(marks: Marks) -> DoctorLine:
    """The number of the store's layout, and whether this version works with it."""
    if marks.is_empty:
        return line("layout", "not set up yet")
    found = "without a number" if marks.layout is None else f"{marks.layout}"
    try:
        check_marks(marks, marks.partitions, READS)
    except LayoutDiffers as error:
        return line("layout", found, str(error))
    return line("layout", found)


def partitions(kept: int | None, ours: int) -> DoctorLine:
    """The number of partitions of the store, and ours."""
    found = "not set up yet" if kept is None else f"{kept}"
    return line(
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
    return line("reaper", found, advice)


def settlement(age_s: float) -> DoctorLine:
    """For how long the first end of a job has waited to be settled."""
    found = f"the oldest end was {age_s:.1f} s ago" if age_s > 0 else "no end of a job waits"
    advice = (
        ""
        if age_s <= UNSETTLED_S
        else "Jobs that wait for others, and unique keys, are late: run a broker with --reaper, and read its log."
    )
    return line("settlement", found, advice)


async def _within(store: JobStore, work: Coroutine[Any, Any, T]) -> T | StoreUnavailable:
    """What comes of calls of one server; or that it does not answer in the time of two calls."""
    try:
        async with asyncio.timeout(2 * store.settings.store_timeout_s):
            return await work
    except TimeoutError:
        return StoreUnavailable(retry_after_s=1)
    except StoreUnavailable as fault:
        return fault


async def _report_of(server: Server) -> dict[str, Any]:
    return cast("dict[str, Any]", await translate_errors(server.redis.info("all")))


async def _of_server(store: JobStore, server: Server, info: dict[str, Any]) -> list[DoctorLine]:
    known = [version(info), await _persistence(server, info), eviction(info), memory(info)]
    lines = [*known, await _clock(store, server), replicas(info)]
    return [one for one in lines if one is not None]


async def _of_all(store: JobStore, servers: Sequence[Server]) -> AsyncIterator[DoctorLine]:
    """The lines about the store as a whole, from the servers that answer."""
    found, _ = await read_each(store.topology, store.settings.key_prefix, servers)
    marks = lowest(found)
    yield layout(marks)
    yield partitions(marks.partitions, store.settings.partitions)
    names = [partition for server in servers for partition in store.topology.partitions_of(server)]
    yield reaper(max([await reaper_lag_ms(store, partition) for partition in names]) / 1000)
    yield settlement(max([await unsettled_ms(store, partition) for partition in names]) / 1000)


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


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
