"""The sections of the help, variables of options, and other spellings."""

import click
import pytest

from broker.cli.help import CONNECTION, SECTIONS
from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from tests.cli.live import Titan
from tests.cli.tree import commands
from worker.settings import WorkerSettings


def test_every_setting_has_one_section() -> None:
    """A setting of a broker or a worker is in one section; a section has nothing else."""
    placed = [name for names in SECTIONS.values() for name in names]
    known = {setting.name for struct in (BrokerSettings, WorkerSettings) for setting in settings_of(struct)}
    assert sorted(placed) == sorted(known - set(CONNECTION))


def test_help_of_the_broker_has_sections(titan: Titan) -> None:
    """The many options of a broker are in sections."""
    shown = titan("broker", "--help").out
    places = [shown.index(f"\n{title}:\n") for title in ("Listen", "Security", "Store", "Limits", "Timeouts", "Logs")]
    assert places == sorted(places)


@pytest.mark.parametrize(("words", "command"), [pytest.param(*row, id=" ".join(row[0])) for row in commands()])
def test_help_is_complete_and_has_no_variables(titan: Titan, words: tuple[str, ...], command: click.Command) -> None:
    """Each option is described, none has its variable on the line, and the connection has one."""
    shown = titan(*words, "--help").out
    assert "env var" not in shown
    for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
        assert option.help, option.name
        assert option.opts[-1] in shown
    if "broker_url" in {option.name for option in command.params} and words != ("worker",):
        assert "Connection:\n  --broker-url, --token-file" in shown


def test_config_lists_the_variables_of_all_options(titan: Titan) -> None:
    """Each option of each command has a variable, which `titan config --all` lists. Two of them are W3C's."""
    rows = titan("config", "--all", "--json").json["options"]
    known = {(row["command"].partition(" ")[2], row["option"]): row["variable"] for row in rows}
    for words, command in commands():
        for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
            variable = known[" ".join(words), option.opts[-1]]
            assert variable.startswith("TITAN_") or variable in {"TRACEPARENT", "TRACESTATE"}, (words, option.name)


def test_other_spellings_go_on_working(titan: Titan, group: str) -> None:
    """`success` is succeed, and `remove` delete; the help has neither."""
    titan.made(group)
    job = titan.taken(group)
    assert titan("job", "success", group, job["id"], "--lease", job["lease"]).out == f"{job['id']} succeeded\n"
    assert titan("job", "remove", group, job["id"]).out == f"{job['id']} deleted\n"
    assert "remove" not in titan("job", "--help").out


@pytest.mark.parametrize("spelling", [("--broker-url", "{0}", "--broker-url", "{1}"), ("--broker-url", "{0};{1}")])
def test_several_brokers(titan: Titan, spelling: tuple[str, ...]) -> None:
    """Of several brokers the first that can be reached is used; a semicolon between them is the older spelling."""
    words = [word.format("http://127.0.0.1:1", titan.broker_url) for word in spelling]
    assert titan("group", "list", *words).code == 0
