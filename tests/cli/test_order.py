"""`titan order`, and the weight of a group."""

from collections.abc import Iterator

import pytest

from tests.cli.live import Titan


@pytest.fixture(autouse=True)
def _as_before(titan: Titan) -> Iterator[None]:
    """The broker serves other tests too."""
    yield
    titan("order", "fifo")


def test_order_is_set_and_shown(titan: Titan) -> None:
    """It says what the order means; without an argument nothing changes."""
    assert titan("order").out.startswith("fifo: the job that was queued first")
    assert titan("order", "fair").out == "fair: groups take turns\n"
    assert titan("order", "show", "--json").json == {"settings": {"order": "fair"}}
    assert titan("order", "fifo", "--json").json == {"settings": {"order": "fifo"}}
    assert titan("order", "lifo").code == 2


def test_weight_of_a_group(titan: Titan, group: str) -> None:
    """It is set, shown and reset like any setting."""
    assert titan("group", "set", group, "--weight", "3", "--json").json["group"]["weight"] == 3
    assert "weight" in titan("group", "show", group).out
    assert titan("group", "set", group, "--weight", "101").code == 2
    assert "weight" not in titan("group", "set", group, "--unset", "weight", "--json").json["group"]
