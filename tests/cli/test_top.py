"""`titan top`: the table, and the screen by textual's own pilot."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, RichLog, Static

from broker.cli.top_screen import TopScreen
from tests.cli.live import BrokerThread, Titan
from worker.client import Client


def test_top_as_a_table(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, and with --plain, it is printed once and ends with 0; a paused group is marked."""
    monkeypatch.setattr("broker.diagnostics.snapshot.EVERY_S", 0)
    titan.made(group)
    titan("group", "pause", group)
    end = time.monotonic() + 20  # the snapshot is swept in the background
    while not titan("top", "--json", "--filter", group).json["groups"]:
        assert time.monotonic() < end
    for options in ((), ("--plain",), ("--plain", "--watch")):
        ran = titan("top", "--filter", group, *options)
        assert ran.code == 0
        assert "GROUP" in ran.out
        [row] = [line.split() for line in ran.out.splitlines() if line.startswith(group)]
        assert (row[1], row[-1]) == ("1", "paused")
    assert titan("top", "--json", "-n", "200").json["totals"]["groups"] >= 1
    assert titan("top", "--watch").code == 2  # it needs a terminal


def test_top_without_its_extra(titan: Titan, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it prints the table, and what the screen needs."""
    monkeypatch.setattr("broker.cli.top.is_terminal", lambda: True)
    monkeypatch.setattr("os.isatty", lambda _: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    ran = titan("top")
    assert (ran.code, "titan-broker[top]" in ran.err) == (0, True)


@pytest.fixture
def queued(titan: Titan, group: str) -> str:
    """A job of the group."""
    return titan.made(group)


def cell(table: DataTable[Any], column: int) -> str:
    """A cell of the first row."""
    return str(table.get_row_at(0)[column]) if table.row_count else ""


async def shows(pilot: Pilot[None], is_shown: Callable[[], bool]) -> None:
    """Wait until the screen shows something; the test's own limit ends it."""
    async with asyncio.timeout(20):
        while not is_shown():
            await pilot.pause(0.02)


async def test_top_on_a_screen(
    group: str, queued: str, broker_thread: BrokerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys: filter, pause, open a group, cancel a job, its log, and back again; sort; quit."""
    monkeypatch.setattr("broker.diagnostics.snapshot.EVERY_S", 0)
    async with Client(broker_thread.url) as client:
        screen = TopScreen(client, "oldest", 200)
        async with screen.run_test(size=(140, 40)) as pilot:
            table, log = screen.query_one("#table", DataTable), screen.query_one("#log", RichLog)
            await pilot.press("slash", *group, "enter")
            await shows(pilot, lambda: table.row_count == 1 and cell(table, 0) == group)
            await pilot.press("p")
            await shows(pilot, lambda: cell(table, -1) == "paused")
            assert (await client.group(group)).paused
            await pilot.press("p")
            await shows(pilot, lambda: cell(table, -1) == "")
            assert not (await client.group(group)).paused
            await pilot.press("enter")
            await shows(pilot, lambda: cell(table, 0) == queued)
            await pilot.press("c")
            await shows(pilot, lambda: cell(table, 1) == "cancelled")
            assert (await client.show(group, queued)).status == "cancelled"
            await pilot.press("enter")
            await shows(pilot, lambda: "There is no log" in "".join(each.text for each in log.lines))
            assert log.display
            await pilot.press("escape", "escape", "s")
            await shows(pilot, lambda: " by " in str(screen.query_one("#summary", Static).render()))
            assert not log.display
            await pilot.press("q")
        assert screen.return_code == 0
