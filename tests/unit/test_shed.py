"""Shedding: how many requests are in progress, who waits for a turn, and who is refused."""

import asyncio

import pytest

from broker.core.errors import Overloaded, StoreUnavailable
from broker.http.routes import ROUTES
from broker.http.server import admission as sheds
from broker.http.server.admission import SHED_FIRST, SHED_LAST, SHED_NEVER, AdmissionControl, priority_of


async def test_admit_up_to_the_limit():
    """New work is let in up to the limit, what ends work up to twice that, and health always."""
    shed = AdmissionControl(2)
    assert [shed.admit(SHED_FIRST, 1) for _ in range(3)] == [True, True, False]
    assert [shed.admit(SHED_LAST, 1) for _ in range(3)] == [True, True, False]
    assert shed.admit(SHED_NEVER, 0)


async def test_turns_come_in_order():
    """Each request that leaves lets in the one that has waited longest; nobody overtakes those who wait."""
    shed = AdmissionControl(1)
    assert shed.admit(SHED_FIRST, 1)
    done = []

    async def work(number):
        await shed.wait(SHED_FIRST, 1)
        done.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert not shed.admit(SHED_FIRST, 1)
    for number in range(3):
        shed.leave(1)
        await tasks[number]
        assert done == list(range(number + 1))
    shed.leave(1)
    assert shed.in_progress == 0


async def test_turn_of_what_ends_work_comes_first():
    """A touch that waits is let in before an enqueue that has waited longer."""
    shed = AdmissionControl(1)
    for _ in range(2):
        assert shed.admit(SHED_LAST, 1)
    enqueue = asyncio.create_task(shed.wait(SHED_FIRST, 1))
    touch = asyncio.create_task(shed.wait(SHED_LAST, 1))
    await asyncio.sleep(0)
    shed.leave(1)
    await touch
    assert not enqueue.done()
    shed.leave(1)
    shed.leave(1)
    await enqueue


async def test_turn_that_does_not_come(monkeypatch):
    """Who waited too long is refused, and takes no room."""
    monkeypatch.setattr(sheds, "PATIENCE_S", 0)
    shed = AdmissionControl(1)
    assert shed.admit(SHED_FIRST, 1)
    with pytest.raises(Overloaded):
        await shed.wait(SHED_FIRST, 1)
    assert (shed.in_progress, shed.refused) == (1, 1)
    shed.leave(1)
    assert shed.admit(SHED_FIRST, 1)


async def test_refusals_are_few(monkeypatch):
    """Of many that waited too long one is refused at a look, or one for ten that were let in; in the end all are."""
    monkeypatch.setattr(sheds, "PATIENCE_S", 0)
    shed = AdmissionControl(25)
    assert all(shed.admit(SHED_FIRST, 1) for _ in range(25))
    turns = [asyncio.create_task(shed.wait(SHED_FIRST, 1)) for _ in range(9)]
    while not shed.refused:
        await asyncio.sleep(0.001)
    assert shed.refused == 2
    shed._refuse()
    assert shed.refused == 3
    monkeypatch.setattr(sheds, "LONGEST_S", 0)
    shed._refuse()
    await asyncio.wait(turns)
    assert [type(turn.exception()) for turn in turns] == [Overloaded] * 9


async def test_turn_while_the_store_is_away(monkeypatch):
    """All requests that have waited learn at once that a store failed one of them, and later ones soon."""
    shed = AdmissionControl(1)
    assert shed.admit(SHED_FIRST, 1)
    early = [asyncio.create_task(shed.wait(priority, 1)) for priority in (SHED_FIRST, SHED_LAST, SHED_FIRST)]
    await asyncio.sleep(0)
    monkeypatch.setattr(sheds, "AWAY_PATIENCE_S", 0)
    shed.store_failed()
    monkeypatch.setattr(sheds, "AWAY_PATIENCE_S", 0.2)
    late = asyncio.create_task(shed.wait(SHED_FIRST, 1))
    await asyncio.sleep(0)
    assert [type(turn.exception()) for turn in early] == [StoreUnavailable] * 3
    assert not late.done()
    with pytest.raises(StoreUnavailable, match="nothing was done"):
        await asyncio.wait_for(late, 1)


async def test_turn_once_the_store_is_back(monkeypatch):
    """A while after the store's last fault those in line are patient again."""
    monkeypatch.setattr(sheds, "AWAY_S", 0)
    shed = AdmissionControl(1)
    assert shed.admit(SHED_FIRST, 1)
    turn = asyncio.create_task(shed.wait(SHED_FIRST, 1))
    await asyncio.sleep(0)
    monkeypatch.setattr(sheds, "AWAY_PATIENCE_S", -1)
    shed.store_failed()
    await asyncio.sleep(0)
    assert not turn.done()
    shed.leave(1)
    await turn


async def test_turn_of_a_client_that_hangs_up():
    """Who is gone while it waits, or just when its turn comes, takes no room."""
    shed = AdmissionControl(1)
    assert shed.admit(SHED_FIRST, 1)
    gone, called = (asyncio.create_task(shed.wait(SHED_FIRST, 1)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    shed.leave(1)
    assert shed.in_progress == 1
    called.cancel()
    await asyncio.wait([called])
    assert shed.in_progress == 0


async def test_waiting_for_a_client_is_no_progress():
    """While a request waits for its client, another has its room."""
    shed = AdmissionControl(1)
    assert shed.admit(SHED_FIRST, 1)
    turn = asyncio.create_task(shed.wait(SHED_FIRST, 1))
    await asyncio.sleep(0)
    with shed.waiting(1):
        await turn
    assert shed.in_progress == 2


def test_large_bodies_weigh_more():
    """A body takes the room of a request for each 8 KiB, and a quarter of all at most; health and logs take none."""
    shed = AdmissionControl(100)
    assert [shed.weigh(SHED_FIRST, size) for size in (0, 8191, 8192, 1 << 30)] == [1, 1, 2, 25]
    assert shed.weigh(SHED_NEVER, 1 << 30) == 0
    assert AdmissionControl(1).weigh(SHED_FIRST, 1 << 30) == 1


def test_priorities_are_of_verbs():
    """Every verb with a priority is that of a route."""
    assert set(sheds._PRIORITIES) <= {route.verb for route in ROUTES}
    assert priority_of("enqueue") == priority_of("next") == SHED_FIRST
