"""How fast a bulk goes: its rate, its share of the store's time, and how it makes way for others."""

from collections.abc import Callable

import pytest

from broker.reaper.bulk_pace import ADJUST_S, BEHIND_S, BUSY, CATCH_UP, CHUNK, LATE_S, MOST_SHARE, SHARE, BulkPace

COST_S = 0.0001


class Machine:
    """A clock, a store and a broker that use some of a core besides the bulk; `late_s`: how late the store answers."""

    def __init__(self, *, store: float = 0.0, broker: float = 0.0, late_s: float = 0.0) -> None:
        self.now = 1000.0
        self.store, self.broker, self.late_s = store, broker, late_s
        self.says_cpu = True
        self.worked_s = 0.0
        self._at, self._used = self.now, [50.0, 10.0]

    async def cpu_s(self) -> float | None:
        """The CPU of the store."""
        return self._use()[0] + self.worked_s if self.says_cpu else None

    def own_cpu_s(self) -> float:
        """The CPU of the broker."""
        return self._use()[1]

    def pace(self, rate: int | None = None) -> BulkPace:
        """A bulk that begins now."""
        return BulkPace(rate, self.cpu_s, lambda: self.now, self.own_cpu_s)

    async def act(self, pace: BulkPace, until: Callable[[], bool], n_running: int = 1) -> int:
        """Let the bulk act again and again; how many jobs it acted on."""
        n = 0
        while not until():
            chunk = pace.chunk
            pace.begin()
            self.now += chunk * COST_S + self.late_s
            self.worked_s += chunk * COST_S
            pace.acted(chunk, chunk * COST_S)
            n += chunk
            await pace.adjust(n_running)
            self.now = max(self.now, pace.until)
        return n

    async def jobs(self, pace: BulkPace, seconds: float, n_running: int = 1) -> float:
        """How many jobs a second it acts on for some seconds."""
        began = self.now
        return await self.act(pace, lambda: self.now >= began + seconds, n_running) / (self.now - began)

    def _use(self) -> list[float]:
        passed_s, self._at = self.now - self._at, self.now
        self._used = [self._used[0] + passed_s * self.store, self._used[1] + passed_s * self.broker]
        return self._used


@pytest.mark.parametrize("rate", [1, 7, 50, 600, 2000])
async def test_rate_is_kept(rate: int) -> None:
    """A store that has time for it: the rate is exact within a few percent, also over single seconds."""
    machine = Machine(late_s=0.0005)
    pace = machine.pace(rate)
    seconds = [await machine.jobs(pace, max(1, 20 / rate)) for _ in range(10)]
    assert sum(seconds[2:]) / 8 == pytest.approx(rate, rel=0.05)
    assert max(seconds) <= rate * 1.15


async def test_rate_after_a_pause() -> None:
    """What it lost it makes up for, a little faster than its rate, and not more than some seconds of it."""
    machine = Machine()
    pace = machine.pace(1000)
    await machine.jobs(pace, 5)
    machine.now += 60
    assert await machine.jobs(pace, 10) == pytest.approx(1000 * CATCH_UP, rel=0.03)
    await machine.jobs(pace, BEHIND_S / (CATCH_UP - 1))
    assert await machine.jobs(pace, 10) == pytest.approx(1000, rel=0.03)


async def test_share_of_an_idle_store() -> None:
    """Without a rate the store works half the time; it begins with a tenth."""
    machine = Machine()
    pace = machine.pace()
    assert await machine.jobs(pace, ADJUST_S) == pytest.approx(SHARE / COST_S, rel=0.2)
    await machine.jobs(pace, 5)
    assert await machine.jobs(pace, 5) == pytest.approx(BUSY / COST_S, rel=0.1)


@pytest.mark.parametrize("busy", [{"store": 0.9}, {"broker": 0.9}, {"late_s": 2 * LATE_S}])
async def test_share_of_a_busy_store(busy: dict[str, float]) -> None:
    """When the store or the broker works for others, or answers late, a bulk keeps a tenth; afterwards it has more."""
    machine = Machine()
    pace = machine.pace()
    await machine.jobs(pace, 5)
    for name, value in busy.items():
        setattr(machine, name, value)
    await machine.jobs(pace, 2)
    assert pace.share == pytest.approx(SHARE)
    machine.store = machine.broker = machine.late_s = 0.0
    await machine.jobs(pace, 5)
    assert pace.share > 3 * SHARE


async def test_share_of_what_is_free() -> None:
    """Others use a part of the half: a bulk gets the rest of it."""
    machine = Machine(store=0.3)
    pace = machine.pace()
    await machine.jobs(pace, 10)
    assert await machine.jobs(pace, 5) == pytest.approx((BUSY - 0.3) / COST_S, rel=0.15)


async def test_share_of_several_bulks() -> None:
    """On a busy store all bulks together have a tenth."""
    machine = Machine(store=0.9)
    pace = machine.pace()
    await machine.jobs(pace, 1, n_running=5)
    assert await machine.jobs(pace, 5, n_running=5) == pytest.approx(SHARE / 5 / COST_S, rel=0.15)


async def test_share_when_the_store_does_not_say() -> None:
    """A store whose user must not read INFO: always a tenth."""
    machine = Machine()
    machine.says_cpu = False
    pace = machine.pace()
    assert await machine.jobs(pace, 5) == pytest.approx(SHARE / COST_S, rel=0.1)


async def test_share_has_an_end() -> None:
    """A slow bulk does not save up: its share stays below all of the store's time."""
    machine = Machine()
    pace = machine.pace(10)
    await machine.jobs(pace, 30)
    assert pace.share == MOST_SHARE


def test_chunk_is_smaller_for_costly_jobs() -> None:
    """A pipeline has as many jobs as the store does in 2 ms, one at least; a machine that is busy counts little."""
    machine = Machine()
    pace = machine.pace()
    for cost_s, chunk in ((1e-6, CHUNK), (0.0001, 19), (0.0005, 3), (1.0, 1)):
        for _ in range(20):
            pace.acted(1, cost_s)
        assert chunk <= pace.chunk <= chunk + 1
    for cost_s in (0.0001, 1.0) * 10:
        pace.acted(1, cost_s)
    assert pace.chunk >= 19


@pytest.mark.parametrize(("late_s", "chunk"), [(0.0005, 20), (0.0035, 35), (0.015, 50)])
async def test_chunk_where_calls_wait(late_s: float, chunk: int) -> None:
    """Where a call waits longer than 2 ms anyway, a pipeline has work for as long as it waits, 5 ms at most."""
    machine = Machine(late_s=late_s)
    pace = machine.pace()
    await machine.jobs(pace, 2)
    assert pace.chunk == pytest.approx(chunk, abs=1)


def test_chunk_of_a_slow_rate() -> None:
    """Ten chunks a second keep a slow rate even."""
    assert [Machine().pace(rate).chunk for rate in (1, 9, 35, 80)] == [1, 1, 3, 8]


def test_rest_after_looking() -> None:
    """After a page the store is left to others for nine times as long."""
    machine = Machine()
    pace = machine.pace()
    pace.looked(0.01)
    assert pace.until == pytest.approx(machine.now + 0.09)
