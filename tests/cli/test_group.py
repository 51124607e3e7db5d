"""`titan group`."""

import re
from typing import Any

import click
import pytest

from broker.cli.rates import RateText
from broker.models.groups import Group, GroupChanges
from tests.cli.live import Titan
from worker.client import Client


def settings(titan: Titan, group: str) -> dict[str, Any]:
    """What the group shows, without what is always there."""
    shown = titan("group", "show", group, "--json").json["group"]
    return {name: value for name, value in shown.items() if name not in {"name", "created_at", "paused_at", "counts"}}


DEFAULTS = {
    "paused": False,
    "delivery_limit": 5,
    "require_lease": False,
    "retention": {"succeeded": 86_400, "failed": 604_800, "cancelled": 86_400},
}


def test_list_table(titan: Titan, group: str) -> None:
    """Groups are rows with a count for each status."""
    titan("job", "cancel", group, titan.made(group))
    titan.made(group)
    head, *rows = (line.split() for line in titan("group", "list").out.splitlines())
    row = dict(zip(head, next(row for row in rows if row[0] == group), strict=True))
    assert (row["QUEUED"], row["CANCELLED"], row["RUNNING"], row["PAUSED"]) == ("1", "1", "0", "no")


def test_list_all(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list follows the cursors to the end."""
    monkeypatch.setattr("broker.cli.group.MAX_JOBS", 2)
    names = {f"{group}{i}" for i in range(5)}
    for name in names:
        titan("group", "set", name, "--image", "hello")
    listed = titan("group", "list", "--json").json
    assert names <= {shown["name"] for shown in listed["groups"]}
    assert "cursor" not in listed


def test_show_page(titan: Titan, group: str) -> None:
    """A group is shown as names and values."""
    titan("group", "set", group, "--image", "hello", "--env", "A=1", "--env", "B=two words")
    titan.made(group)
    shown = titan("group", "show", group).out
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines() if len(line.split()) > 1)
    assert (rows["name"], rows["image"], rows["paused"], rows["queued"]) == (group, "hello", "no", "1")
    assert rows["env_vars"] == "A=1"
    assert "B=two words" in shown


def test_show_unknown(titan: Titan, group: str) -> None:
    """An unknown group is refused."""
    refused = titan("group", "show", group)
    assert (refused.code, refused.out) == (1, "")


def test_set_every_setting(titan: Titan, group: str) -> None:
    """Each option sets the setting of its name, and an unknown group is created."""
    words = ["--image", "hello", "--max-concurrency", "3", "--paused", "--delivery-limit", "2", "--require-lease"]
    keep = ["--keep-succeeded", "1", "--keep-failed", "2", "--keep-cancelled", "3"]
    assert titan("group", "set", group, *words, *keep, "--env", "A=1=2").code == 0
    assert settings(titan, group) == {
        "image": "hello",
        "max_concurrency": 3,
        "paused": True,
        "delivery_limit": 2,
        "require_lease": True,
        "retention": {"succeeded": 1, "failed": 2, "cancelled": 3},
        "env_vars": {"A": "1=2"},
    }


def test_set_keeps_the_rest(titan: Titan, group: str) -> None:
    """What is not named stays as it was."""
    titan("group", "set", group, "--image", "hello", "--keep-failed", "7", "--env", "A=1", "--env", "B=2", "--paused")
    titan("group", "set", group, "--max-concurrency", "4", "--keep-succeeded", "8", "--env", "B=3", "--unset-env", "A")
    assert settings(titan, group) == DEFAULTS | {
        "image": "hello",
        "max_concurrency": 4,
        "paused": True,
        "retention": {"succeeded": 8, "failed": 7, "cancelled": 86_400},
        "env_vars": {"B": "3"},
    }


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--image", "hello"], "image"),
        (["--env", "A=1"], "env_vars"),
        (["--max-concurrency", "3"], "max_concurrency"),
        (["--paused"], "paused"),
        (["--delivery-limit", "2"], "delivery_limit"),
        (["--require-lease"], "require_lease"),
        (["--keep-failed", "2"], "retention"),
    ],
)
def test_set_unset(titan: Titan, group: str, words: list[str], name: str) -> None:
    """--unset puts a setting back to its default."""
    titan("group", "set", group, *words)
    assert settings(titan, group) != DEFAULTS
    assert titan("group", "set", group, "--unset", name).code == 0
    assert settings(titan, group) == DEFAULTS


def test_set_last_variable_away(titan: Titan, group: str) -> None:
    """When the last variable is taken away the group has none."""
    titan("group", "set", group, "--env", "A=1")
    titan("group", "set", group, "--unset-env", "A")
    assert settings(titan, group) == DEFAULTS


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "nothing to set"),
        (["--max-concurrency", "0"], "max_concurrency"),
        (["--keep-failed", "-1"], "--keep-failed"),
        (["--keep-failed", "20000d"], "--keep-failed': '20000d' is out of bounds: it must be 3650d or less"),
        (["--env", "A"], "NAME=VALUE"),
        (["--env", "1A=x"], "env_vars"),
        (["--unset", "colour"], "colour"),
    ],
)
def test_set_wrong_options(titan: Titan, group: str, words: list[str], named: str) -> None:
    """A value out of bounds is wrong usage, names its setting, and changes nothing."""
    refused = titan("group", "set", group, *words)
    assert refused.code == 2
    assert named in refused.err
    assert titan("group", "show", group).code == 1


def test_pause_and_resume(titan: Titan, group: str) -> None:
    """A paused group delivers no jobs and keeps its settings; a resumed one delivers again."""
    titan("group", "set", group, "--max-concurrency", "3")
    titan.made(group)
    assert titan("group", "pause", group).code == 0
    assert settings(titan, group) == DEFAULTS | {"max_concurrency": 3, "paused": True}
    assert titan("job", "next", "--group", group, "--json").json == {"jobs": []}
    assert titan("group", "resume", group, "--json").json["group"]["paused"] is False
    assert titan.taken(group)


def test_pause_with_a_note(titan: Titan, group: str) -> None:
    """The page of a paused group says since when and why; after a resume it says neither."""
    titan.made(group)
    assert titan("group", "pause", group, "--note", "provider down").code == 0
    shown = titan("group", "show", group).out
    assert re.search(r"^paused_at +\d.* ago \(today ", shown, re.MULTILINE)
    assert re.search(r"^note +provider down$", shown, re.MULTILINE)
    titan("group", "resume", group)
    assert "provider" not in titan("group", "show", group).out


def test_set_variables_while_another_does(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that another client sets between reading and writing is kept."""
    titan("group", "set", group, "--env", "A=1")
    read, times = Client.group_tagged, 0

    async def read_before_another(client: Client, name: str) -> tuple[Group, str]:
        nonlocal times
        times += 1
        found = await read(client, name)
        if times == 1:
            await client.adjust(name, GroupChanges(env_vars={"A": "1", "B": "2"}))
        return found

    monkeypatch.setattr(Client, "group_tagged", read_before_another)
    assert titan("group", "set", group, "--env", "C=3").code == 0
    assert settings(titan, group)["env_vars"] == {"A": "1", "B": "2", "C": "3"}


def test_pause_unknown(titan: Titan, group: str) -> None:
    """A wrong name makes no group."""
    assert titan("group", "pause", group).code == 1
    assert titan("group", "show", group).code == 1


def test_set_rates_and_budgets(titan: Titan, group: str) -> None:
    """A rate is written as jobs, time and burst, and shown in words; sizes have units."""
    titan("group", "set", group, "--rate", "5000/h:50", "--max-jobs", "9", "--max-bytes", "2MiB", "--boost", "500")
    shown = {name: settings(titan, group)[name] for name in ("rate_limit", "max_jobs", "max_bytes", "priority_boost")}
    assert shown == {
        "rate_limit": {"jobs": 5000, "per": 3600, "burst": 50},
        "max_jobs": 9,
        "max_bytes": 2 * 1024 * 1024,
        "priority_boost": 500,
    }
    assert "5,000 in 1 h, 50 at once" in titan("group", "show", group).out
    titan("group", "set", group, "--rate-limit", "10", "--unset", "max_jobs")
    assert settings(titan, group)["rate_limit"] == 10
    assert "10 a second" in titan("group", "show", group).out


def test_set_fair_keys(titan: Titan, group: str) -> None:
    """The setting has an option, and a page says that it is asleep in the order fifo."""
    titan("group", "set", group, "--fair-keys")
    assert settings(titan, group)["fair_keys"] is True
    assert "asleep" in titan("group", "show", group).out
    titan("group", "set", group, "--no-fair-keys")
    assert "fair_keys" not in settings(titan, group)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10", 10),
        ("20/m", {"jobs": 20, "per": 60}),
        ("3/10s:1", {"jobs": 3, "per": 10, "burst": 1}),
        ("7/1h30m", {"jobs": 7, "per": 5400}),
    ],
)
def test_rates_as_texts(text: str, rate: object) -> None:
    """A unit alone is one of it; any duration of whole seconds may follow the slash."""
    assert RateText().convert(text, None, None) == rate


@pytest.mark.parametrize("text", ["", "h", "5/", "5/0s", "5/25h", "5/h:", "5/h:x", "-5", "5/0.5s", "5:3"])
def test_texts_that_are_no_rates(text: str) -> None:
    """Anything else is refused on the command line."""
    with pytest.raises(click.BadParameter):
        RateText().convert(text, None, None)
