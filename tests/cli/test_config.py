"""`titan config`."""

import pytest

from tests.cli.live import Titan


def test_config_both(titan: Titan) -> None:
    """All settings of the broker and the worker are shown, with their source and variable."""
    shown = titan("config", TITAN_PORT="9000", TITAN_CONCURRENCY="7")
    assert shown.code == 0
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in shown.out.splitlines()}
    assert rows["broker", "port"] == ["9000", "environment", "TITAN_PORT"]
    assert rows["broker", "host"] == ["127.0.0.1", "default", "TITAN_HOST"]
    assert rows["worker", "concurrency"] == ["7", "environment", "TITAN_CONCURRENCY"]


def test_config_of_a_command_line(titan: Titan) -> None:
    """With a command and its options, what that would run with."""
    settings = titan("config", "--json", "broker", "--port", "1", "--no-reaper", TITAN_PORT="2").json["settings"]
    assert {row["command"] for row in settings} == {"broker"}
    rows = {row["setting"]: (row["value"], row["source"]) for row in settings}
    assert rows["port"] == (1, "command line")
    assert rows["reaper"] == (False, "command line")
    assert rows["partitions"] == (0, "default")


def test_config_hides_secrets(titan: Titan) -> None:
    """An address of a store may hold a password, so it is not shown."""
    for words in (("config",), ("config", "--json")):
        shown = titan(*words, TITAN_REDIS_URL="redis://:swordfish@store")
        assert "swordfish" not in shown.out
        assert "(hidden)" in shown.out


def test_config_typo(titan: Titan) -> None:
    """An unknown variable is the same error as at a start."""
    shown = titan("config", TITAN_REDIS_ULR="redis://store")
    assert shown.code == 2
    assert "TITAN_REDIS_ULR is not a setting; did you mean TITAN_REDIS_URL?" in shown.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "9000"), "Name the command first: titan config broker --port …"),
        (("--concurrency=2",), "Name the command first: titan config worker --concurrency=2 …"),
        (("--al",), "No such option '--al'. Did you mean '--all'?"),
        (("broker", "--prot", "1"), "No such option '--prot'. Did you mean '--port'?"),
        (("broker", "--port", "x"), "Invalid value for '--port'"),
        (("nonsense",), "'nonsense' is not one of 'broker', 'worker'"),
    ],
)
def test_config_refuses(titan: Titan, words: tuple[str, ...], said: str) -> None:
    """An option before the command, and wrong ones after it, are refused under the usage of config."""
    refused = titan("config", *words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("Usage: main config [")
    assert said in refused.err


def test_variables_of_other_commands_are_no_typos(titan: Titan) -> None:
    """The variable of any command's option may be set for all."""
    assert titan("config", TITAN_UP_SAMPLE="false", TITAN_JSON="false", TITAN_CHECK_REPAIR="1").code == 0
