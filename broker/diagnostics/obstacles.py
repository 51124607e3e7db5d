"""The lines of `titan doctor` about what would lose jobs or leave servers idle: replicas, sentinels, partitions."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from broker.core.errors import TitanError
from broker.core.words import counted
from broker.diagnostics.doctor_line import line
from broker.models.doctor import DoctorLine
from broker.resp.primaries import SentinelReport, Spread, sentinel_report, spread_of
from broker.resp.url import StoreAddress, addresses
from broker.store.job_store import JobStore

LEAST_SENTINELS = 3
LEAST_DOWN_AFTER_MS = 1500
"""Sentinels connect at most once a second, also to a primary that they have just named: `sentinelReconnectInstance` in
Redis 7.0's sentinel.c. With less time they may consider it dead before they have asked it."""


async def obstacles(store: JobStore) -> AsyncIterator[DoctorLine]:
    """The lines about the sentinels, and about the spread of the partitions, where the store has any."""
    topology, settings = store.topology, store.settings
    named = addresses(settings.redis_url) if settings.redis_url else []
    for address in named:
        if address.kind == "sentinel":
            name = f" of {address.shown}" if len(named) > 1 else ""
            yield sentinels(address, await sentinel_report(address, settings.store_timeout_s), name)
    if topology.all[0].is_clustered:
        try:
            yield spread(await spread_of(topology), len(topology.partitions))
        except TitanError as error:
            advice = "Allow the broker's user CLUSTER SLOTS and CLUSTER MYID, or look at CLUSTER NODES yourself."
            found = f"the cluster does not show it: {error.message}"
            yield DoctorLine(about="spread", state="unknown", found=found, advice=advice)
    elif len(topology.all) > 1:
        yield spread(Spread(len(topology.all), len(topology.all)), len(topology.partitions))


def replicas(info: Mapping[str, Any]) -> DoctorLine | None:
    """Whether a primary that is cut off from its replicas stops, from INFO. None for a server without replicas."""
    if info.get("role") == "slave":
        advice = "A replica accepts no jobs: name its primary, or the sentinels, in --redis-url."
        return line("replicas", "this server is a replica", advice)
    count = int(info.get("connected_slaves", 0))
    if "min_slaves_good_slaves" in info:  # the server shows it only where both settings are above 0
        return line("replicas", f"{counted(count, 'replica')}, min-replicas-to-write is set")
    if not count:
        return None
    advice = (
        "A primary that is cut off continues to accept jobs, and they are lost when it returns: "
        "set `min-replicas-to-write 1` and `min-replicas-max-lag 10` at every server."
    )
    return line("replicas", f"{counted(count, 'replica')}, no min-replicas-to-write", advice)


def sentinels(address: StoreAddress, report: SentinelReport | None, name: str = "") -> DoctorLine:
    """Whether a failover takes place, and brokers learn of it, while one sentinel is down."""
    about = f"sentinels{name}"
    if report is None:
        return line(about, "none of them replies", "Start the sentinels, or name those that run in --redis-url.")
    found = f"{counted(report.sentinels, 'sentinel')}, {len(address.seeds)} in --redis-url"
    advice = []
    if report.sentinels < LEAST_SENTINELS:
        advice.append(
            "When one sentinel is down, or cut off, nobody replaces the primary: "
            f"run at least {LEAST_SENTINELS}, each on its own machine."
        )
    if len(address.seeds) == 1:
        advice.append("While the only one in --redis-url is down, brokers do not find the primary: name all of them.")
    if not report.replicas:
        advice.append("The sentinels know no replica that could replace the primary: start one.")
    if report.down_after_ms < LEAST_DOWN_AFTER_MS:
        advice.append(
            f"down-after-milliseconds is {report.down_after_ms}. Sentinels take up to 1.1 s to reach a new primary "
            f"and may replace that one too: set at least {LEAST_DOWN_AFTER_MS}."
        )
    return line(about, found, " ".join(advice))


def spread(found: Spread, partitions: int) -> DoctorLine:
    """Whether each primary has a partition. One without has nothing to do."""
    text = f"{counted(partitions, 'partition')} on {found.used} of {counted(found.primaries, 'server')}"
    if found.used >= found.primaries:
        return line("spread", text)
    idle = found.primaries - found.used
    advice = f"{counted(idle, 'server')} without a partition: "
    if partitions < found.primaries:
        advice += f"only a new store can have more. Set --partitions {4 * found.primaries} before its first start."
    else:
        advice += "move slots of partitions there with `redis-cli --cluster reshard`, when queues are short."
    return line("spread", text, advice)
