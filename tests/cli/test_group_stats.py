"""`titan group stats`."""

import pytest

from tests.cli.live import BrokerThread, Titan


@pytest.fixture
def used(titan: Titan, group: str, broker_thread: BrokerThread) -> str:
    """A group of which one job succeeded, one failed and one waits."""
    done, lost, _ = (titan.made(group) for _ in range(3))
    titan("job", "next", "--group", group, "-n", "2")
    titan("job", "succeed", group, done)
    titan("job", "fail", group, lost)
    broker_thread.flush()
    return group


def test_stats_page(titan: Titan, used: str) -> None:
    """Sums and percentiles, then a row for each minute in which something happened."""
    shown = titan("group", "stats", used)
    assert shown.code == 0
    summary, _, table = shown.out.partition("\n\n")
    rows = dict(line.split(maxsplit=1) for line in summary.splitlines())
    assert rows[used] == "the last hour"
    assert (rows["in"], rows["out"], rows["succeeded"], rows["failed"]) == ("3", "2", "1", "1")
    assert rows["run"].startswith("p50 ")
    assert rows["run"].endswith(" of 2 jobs")
    head, *minutes = table.splitlines()
    assert head.split()[:4] == ["AT", "(UTC)", "IN", "OUT"]
    assert sum(int(line.split()[1]) for line in minutes) == 3
    assert 1 <= len(minutes) <= 2


def test_stats_json(titan: Titan, used: str) -> None:
    """The answer of the broker as it is."""
    shown = titan("group", "stats", used, "--window", "24h", "--json").json
    assert (shown["window"], len(shown["slots"])) == ("24h", 48)
    assert sum(slot["in"] for slot in shown["slots"]) == 3


def test_stats_of_all_groups(titan: Titan, used: str) -> None:
    """Without a group the sums of all."""
    rows = dict(line.split("  ", 1) for line in titan("group", "stats").out.partition("\n\n")[0].splitlines())
    assert rows["all groups"].strip() == "the last hour"
    assert int(rows["in"]) >= 3


def test_stats_without_anything(titan: Titan, group: str) -> None:
    """A group in which nothing happened has no table; one that does not exist is refused."""
    titan("group", "set", group, "--image", "x")
    shown = titan("group", "stats", group)
    assert "AT" not in shown.out
    assert shown.out.endswith("wait           -\nrun            -\n")
    refused = titan("group", "stats", f"{group}x")
    assert (refused.code, refused.err) == (1, "Error: There is no such group.\n")
