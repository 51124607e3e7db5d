"""`python -m tests.bench.schedules`: how many schedules a broker fires, how late, and what idle ones cost.

Fires and idle schedules are measured as CPU, without a reaper: of the store's main thread, and of the broker's code,
which runs in this process. The least of all rounds counts. How late jobs are is measured with a broker during workload
W3. Exit code 1 when a bar is missed.
"""

import asyncio
import math
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Sequence

from broker.core.settings import BrokerSettings
from broker.core.timestamps import milliseconds
from broker.models.schedules import NewSchedule, ScheduledJob
from broker.reaper.scheduler import STEP
from broker.resp import keys
from broker.store.connect import opened
from tests.bench.figures import Figures, parser_of
from tests.bench.flow_costs import FlowCosts
from tests.bench.flow_times import during_load
from tests.bench.server import Server, server

FIRES_S, IDLE_TIMES, LATE_S = 2000.0, 1.05, 1.0
"""Bars: fires a second of a broker's core, and of the store's; a call of `reap` with idle schedules next to one
without; p99 of how late jobs are."""
A_GROUP, AT_ONCE, CALLS = 1000, 64, 300
"""Schedules of a group; puts at the same time; calls of `reap` in a round."""
DAILY = NewSchedule(cron="30 7 * * 1-5", zone="Europe/Berlin", job=ScheduledJob(image="x"))
EACH_MINUTE = NewSchedule(cron="* * * * *", overlap="allow", job=ScheduledJob(image="x", payload="p" * 100))
EACH_SECOND = NewSchedule(every=1, overlap="allow", job=ScheduledJob(image="x", payload="p" * 100))


async def put_all(costs: FlowCosts, group: str, spec: NewSchedule, n: int) -> None:
    """Many schedules, 1,000 in each group."""
    for first in range(0, n, AT_ONCE):
        some = range(first, min(first + AT_ONCE, n))
        await asyncio.gather(*(costs.store.schedules.put(f"{group}{i // A_GROUP}", f"s{i}", spec) for i in some))


async def measured_fires(costs: FlowCosts, figures: Figures, schedules: int, rounds: int) -> None:
    """What a fire costs when many schedules are due at the same time: a minute passes in each round."""
    await put_all(costs, "minutely", EACH_MINUTE, schedules)
    own_us, store_us, rates = [], [], []
    now = int(time.time() * 1000)
    for turn in range(rounds):
        costs.store.clock.now = str(now + (turn + 1) * 60_000)
        cpu, began = time.process_time(), time.perf_counter()
        store_us.append(await costs.cpu_us(_fire_all(costs, schedules), schedules))
        own_us.append((time.process_time() - cpu) * 1e6 / schedules)
        rates.append(schedules / (time.perf_counter() - began))
    costs.store.clock.now = ""
    figures.note(f"a fire costs the broker {min(own_us):.0f} µs, the store {min(store_us):.0f} µs")
    figures.note(f"by the clock {statistics.median(rates):,.0f} fires a second, {max(rates):,.0f} in the best round")
    figures.speed("fires a second of a broker's core", 1e6 / min(own_us), FIRES_S, "a second")
    figures.speed("fires a second of the store's core", 1e6 / min(store_us), FIRES_S, "a second")


async def _fire_all(costs: FlowCosts, schedules: int) -> None:
    fired = 0
    while some := await costs.store.schedule_fires.fire_due(STEP):
        fired += len([one for one in some if one.what == "fired"])
    assert fired == schedules, f"{fired} of {schedules} schedules fired"


async def measured_idle(costs: FlowCosts, figures: Figures, schedules: int, rounds: int) -> None:
    """What schedules cost whose time has not come: calls of `reap` with them and without them take turns."""
    before_bytes = await costs.memory_bytes()
    await put_all(costs, "daily", DAILY, schedules)
    figures.note(f"an idle schedule takes {(await costs.memory_bytes() - before_bytes) / schedules:,.0f} bytes")
    with_us, without_us = [], []
    name = keys.schedules(costs.store.partitions[0])
    for _ in range(rounds):
        with_us.append(await costs.cpu_us(_reap(costs), CALLS))
        await costs.rename(name, f"{name}:away")
        without_us.append(await costs.cpu_us(_reap(costs), CALLS))
        await costs.rename(f"{name}:away", name)
    figures.note(f"a call of reap without schedules: {min(without_us):.1f} µs")
    figures.ratio(f"reap with {schedules:,} idle schedules", min(with_us), min(without_us), IDLE_TIMES)


async def _reap(costs: FlowCosts) -> None:
    for _ in range(CALLS):
        await costs.store.maintenance.reap(50)


async def measured_lateness(costs: FlowCosts, broker: Server, figures: Figures, schedules: int, seconds: int) -> None:
    """How late the jobs of schedules are that fire each second, alone and during W3."""
    await put_all(costs, "secondly", EACH_SECOND, schedules)
    for is_busy in (False, True):
        async with during_load(broker, is_busy=is_busy):
            began = int(time.time() * 1000)
            await asyncio.sleep(seconds)
            late = sorted(await _late_ms(costs, schedules, began))
        p50, p99 = late[len(late) // 2] / 1000, late[math.ceil(len(late) * 0.99) - 1] / 1000
        what = f"{schedules:,} schedules each second{', during W3' if is_busy else ''}"
        figures.note(f"{what}: {len(late):,} fires, p50 {p50:.3f} s late")
        figures.value(f"{what}: p99 late", p99, LATE_S, "s")


async def _late_ms(costs: FlowCosts, schedules: int, began: int) -> Sequence[int]:
    late: list[int] = []
    for i in range(schedules):
        fires = await costs.store.schedules.fires(f"secondly{i // A_GROUP}", f"s{i}", 50)
        times = [
            (milliseconds(fire.scheduled_for), milliseconds(fire.fired_at)) for fire in fires if fire.what == "fired"
        ]
        late += [fired_at - due_at for due_at, fired_at in times if due_at > began]
    return late


async def measured(started: Server, figures: Figures, given: Namespace, *, has_reaper: bool) -> None:
    """Measure what needs a reaper, or the rest."""
    async with opened(BrokerSettings(redis_url=started.redis_url, store_timeout_s=30)) as found:
        costs = FlowCosts(found.store, found.store.topology.of(found.store.partitions[0]).redis)
        if has_reaper:
            await measured_lateness(costs, started, figures, given.each_second, given.seconds)
        else:
            await measured_idle(costs, figures, given.idle, given.rounds)
            await measured_fires(costs, figures, given.schedules, given.rounds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, run, print."""
    parser = parser_of("schedules", __doc__ or "", "--schedules 200 --idle 200 --each-second 10 --seconds 2")
    parser.add_argument("--schedules", type=int, default=4000, help="schedules that fire at the same time (4000)")
    parser.add_argument("--idle", type=int, default=90_000, help="schedules whose time has not come (90000)")
    parser.add_argument("--each-second", type=int, default=100, help="schedules that fire each second (100)")
    parser.add_argument("--seconds", type=int, default=15, help="for how long, s, alone and during W3 (15)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of the other measurements (9)")
    given = parser.parse_args(arguments)
    figures = Figures.of_this_machine(is_json=given.json)
    for has_reaper, options in ((False, ("--no-reaper",)), (True, ())):
        with server(*options) as started:
            asyncio.run(measured(started, figures, given, has_reaper=has_reaper))
    return figures.close()


if __name__ == "__main__":
    sys.exit(main())
