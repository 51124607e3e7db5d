"""Failovers by sentinels: brokers leave a deposed primary at once, whatever it answers."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.system.conftest import Program
from tests.system.cut_proxy import CutProxy
from tests.system.failovers import INSIDE, SENTINEL_CONF, Calls, Load, Watched, kept, metric
from tests.system.test_servers import GROUPS, Fleet, Start, checked, enqueue, fleet, until

__all__ = ["fleet"]
pytestmark = pytest.mark.slow
LEFT_S = 2.0
"""Writes to the old primary end at most this long after a sentinel names another."""
OUTAGE_S = 6.0
"""Calls are answered again at most this long after the primary died."""
LAG_S = 2


@pytest.fixture
def watched(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A primary, a replica and three sentinels. The parameter: the number of replicas, and options of all servers."""
    replicas, *options = getattr(request, "param", (1,))
    primary = fleet.start(*options)
    with CutProxy(primary).up() as proxy:
        yield Watched(fleet, proxy, primary, replicas, *options)


def test_writes_end_when_the_primary_is_cut_off(
    broker: Start, titan: Callable[..., Program], watched: Watched, fleet: Fleet
) -> None:
    """A primary that its sentinels cannot reach gets no call within 2 s after the switch; nothing later is lost."""
    program, url = broker(*watched.url())
    assert metric(url, "titan_store_failovers_total") == 0
    with Load(url, GROUPS[:4]).running() as load, Calls(fleet, watched.primary).counted() as old:
        load.continues()
        watched.proxy.cut(INSIDE)
        switched_at = watched.until_switched()
        until(lambda: metric(url, "titan_store_failovers_total") == 1)
        load.continues()
        time.sleep(LEFT_S)  # calls to the old primary may come at any time
        print(f"the last call came {old.last_at - switched_at:.2f} s after the switch")
        assert old.last_at - switched_at < LEFT_S
        watched.proxy.heal()
        until(lambda: fleet.ask(watched.primary, "ROLE")[0] == "slave")
        load.continues()
        assert metric(url, "titan_store_failovers_total") == 1
        assert metric(url, "titan_store_up{") == 1
    found = program.says(r"the primary of main has moved from 127.0.0.1:(\d+) to 127.0.0.1:(\d+): named by .*")
    assert [int(port) for port in found.groups()] == [watched.proxy.port, *watched.replicas]
    assert load.longest_pause_s() < LEFT_S
    assert load.ids(switched_at + LEFT_S) - kept(url) == set()
    checked(titan, *watched.url())
    assert program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_calls_continue_when_the_primary_dies(
    broker: Start, titan: Callable[..., Program], watched: Watched, fleet: Fleet, number: int
) -> None:
    """After a kill -9, and after a freeze, calls are answered again within 6 s; a thawed primary changes nothing."""
    program, url = broker(*watched.url())
    with Load(url, GROUPS[:4]).running() as load:
        load.continues()
        until(lambda: fleet.ask(watched.primary, "WAIT", "1", "1000") == 1)
        fleet.ports[watched.primary].send_signal(number)
        died_at = time.monotonic()
        switched_at = watched.until_switched()
        load.continues()
        until(lambda: load.ids(switched_at + 1))
        if number == signal.SIGSTOP:
            fleet.ports[watched.primary].send_signal(signal.SIGCONT)
            until(lambda: fleet.ask(watched.primary, "ROLE")[0] == "slave")
            load.continues()
    away_s = load.longest_pause_s()
    print(f"no job was acknowledged for {away_s:.2f} s; the sentinels took {switched_at - died_at:.2f} s of that")
    assert away_s < OUTAGE_S
    assert metric(url, "titan_store_failovers_total") == 1
    assert load.ids(switched_at) - kept(url) == set()
    checked(titan, *watched.url())
    assert program.stop() == 0


MIN_REPLICAS = (2, "--min-replicas-to-write", "1", "--min-replicas-max-lag", str(LAG_S))


@pytest.mark.parametrize("watched", [MIN_REPLICAS], indirect=True)
def test_loss_is_bounded_by_min_replicas(broker: Start, watched: Watched, fleet: Fleet) -> None:
    """With min-replicas-to-write a primary that is cut off loses only what it took before it noticed that."""
    _, url = broker(*watched.url())
    with Load(url, GROUPS[:4]).running() as load:
        load.continues()
        watched.proxy.cut(INSIDE)
        cut_at = time.monotonic()
        switched_at = watched.until_switched()
        load.continues()
        until(lambda: load.ids(switched_at + 1))
    refused = [at - cut_at for at, fault in load.faults if "NOREPLICAS" in fault]
    away_s = load.longest_pause_s()
    found = kept(url)
    lost = [at - cut_at for at, job_id in load.made if job_id not in found]
    print(
        f"{len(lost)} lost, the last after {max(lost, default=0):.2f} s; refused after {min(refused, default=0):.2f} s"
    )
    print(f"no job was acknowledged for {away_s:.2f} s; switched after {switched_at - cut_at:.2f} s")
    assert max(lost, default=0) < LAG_S + 2  # the server counts the lag in whole seconds, once a second
    assert away_s < OUTAGE_S
    assert metric(url, "titan_store_failovers_total") == 1


def test_sentinel_that_is_cut_off_is_outvoted(broker: Start, watched: Watched, fleet: Fleet) -> None:
    """A sentinel that did not hear of the failover names the old primary, and is asked first: nobody believes it."""
    watched.proxy.cut(INSIDE)
    watched.until_switched()
    fleet.ask(watched.primary, "CLIENT", "KILL", "TYPE", "replica")  # else the sentinel hears of it at the replica
    stale = fleet.start("--sentinel", config=SENTINEL_CONF.format(port=watched.proxy.port))
    assert watched.named(stale) == watched.proxy.port
    program, url = broker(*watched.url(stale, *watched.sentinels))
    with Calls(fleet, watched.primary).counted() as old:
        made = [enqueue(url, group) for group in GROUPS]
        fleet.ask(watched.replicas[0], "CLIENT", "KILL", "TYPE", "normal")  # new connections ask again
        until(lambda: made.append(enqueue(url, GROUPS[0])) or True)
        assert old.last_at == 0
    assert watched.named(stale) == watched.proxy.port
    assert kept(url) >= set(made)
    assert program.stop() == 0


def test_further_sentinels_are_learned(broker: Start, watched: Watched, fleet: Fleet) -> None:
    """A broker that was given one sentinel notices a failover after that one died."""
    first, *others = watched.sentinels
    program, url = broker("--log-level", "debug", *watched.url(first))
    enqueue(url, GROUPS[0])
    until(lambda: all("cmd=subscribe" in fleet.ask(port, "CLIENT", "LIST") for port in others))
    fleet.ports[first].kill()
    watched.proxy.cut(INSIDE)
    watched.until_switched(others)
    until(lambda: metric(url, "titan_store_failovers_total") == 1, LEFT_S)
    program.says(r"s after \+switch-master of sentinel|named by sentinel")
    enqueue(url, GROUPS[0])
    assert program.stop() == 0
