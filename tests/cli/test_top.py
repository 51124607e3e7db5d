"""`titan top`: the table, and the screen by textual's own pilot."""

import pytest
from textual.widgets import DataTable, Input, RichLog, Static

from broker.cli import top
from broker.cli.top_screen import TopScreen
from tests.cli.live import BrokerThread, Titan
from worker.client import Client


def test_top_as_a_table(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, and with --plain, it is printed once and ends with 0; a paused group says so."""
    monkeypatch.setattr("broker.diagnostics.snapshot.EVERY_S", 0)
    titan.made(group)
    titan("group", "pause", group)
    for options in ((), ("--plain",), ("--plain", "--watch")):
        ran = titan("top", "-n", "200", *options)
        assert ran.code == 0
        assert "GROUP" in ran.out
        [row] = [line.split() for line in ran.out.splitlines() if line.startswith(group)]
        assert (row[1], row[-1]) == ("1", "paused")
    assert titan("top", "--json", "-n", "200").json["totals"]["groups"] >= 1
    assert titan("top", "--watch").code == 2  # it needs a terminal


def test_every_column_has_a_cell() -> None:
    """The screen and the table have the same columns."""
    assert len(top.COLUMNS) == 9


@pytest.fixture
def queued(titan: Titan, group: str) -> str:
    """A job of the group."""
    return titan.made(group)


async def test_top_on_a_screen(
    group: str, queued: str, broker_thread: BrokerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys: filter, pause, open a group, cancel a job, its log, and back again; sort; quit."""
    monkeypatch.setattr("broker.diagnostics.snapshot.EVERY_S", 0)
    async with Client(broker_thread.url) as client:
        screen = TopScreen(client, "oldest", 200)
        async with screen.run_test(size=(140, 40)) as pilot:
            table = screen.query_one("#table", DataTable)
            await pilot.press("slash", *group, "enter")
            await pilot.pause()
            assert screen.query_one("#filter", Input).value == group
            assert table.row_count == 1
            assert str(table.get_row_at(0)[0]) == group
            await pilot.press("p")
            await pilot.pause()
            assert (await client.group(group)).paused
            assert str(table.get_row_at(0)[-1]) == "paused"
            await pilot.press("p")
            await pilot.pause()
            assert not (await client.group(group)).paused
            await pilot.press("enter")
            await pilot.pause()
            assert str(table.get_row_at(0)[0]) == queued
            await pilot.press("c")
            await pilot.pause()
            assert (await client.show(group, queued)).status == "cancelled"
            assert str(table.get_row_at(0)[1]) == "cancelled"
            await pilot.press("enter")
            await pilot.pause()
            assert screen.query_one("#log", RichLog).display
            assert "There is no log" in "".join(each.text for each in screen.query_one("#log", RichLog).lines)
            await pilot.press("escape", "escape", "s")
            await pilot.pause()
            assert "by " in str(screen.query_one("#summary", Static).render())
            assert not screen.query_one("#log").display
            await pilot.press("q")
        assert screen.return_code == 0
