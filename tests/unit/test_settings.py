"""How settings become options, and where their values come from."""

from typing import Annotated

import click
import pytest
from click.testing import CliRunner, Result
from msgspec import Meta, Struct

from broker.cli.options import settings_from, settings_options, sources
from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of, unknown_variables
from worker.settings import WorkerSettings


class Settings(Struct, frozen=True, kw_only=True):
    """Settings of every kind."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="A port.")] = 8080
    wait_s: Annotated[float, Meta(gt=0, description="A time.")] = 1.5
    reaper: Annotated[bool, Meta(description="Whether.")] = True
    redis_url: Annotated[str, Meta(description="An address.", extra={"secret": True})] = "redis://:hidden@store"
    run: Annotated[tuple[str, ...], Meta(description="Several.")] = ()


def given(*words: str, **environment: str) -> Result:
    """What a command with these settings prints: the settings, then where each came from."""

    @click.command()
    @settings_options(Settings)
    @click.pass_context
    def command(context: click.Context, /, **_: object) -> None:
        click.echo(settings_from(context, Settings))
        click.echo(sources(context, Settings))

    return CliRunner().invoke(command, words, env=environment)


def test_defaults() -> None:
    """Without anything given, every setting has the struct's default."""
    settings, came_from = given().output.splitlines()
    assert settings == str(Settings())
    assert came_from == str(dict.fromkeys(["port", "wait_s", "reaper", "redis_url", "run"], "default"))


def test_command_line_before_environment() -> None:
    """The command line goes before the environment, and the environment before the default."""
    told = given("--port", "1", "--no-reaper", TITAN_PORT="2", TITAN_WAIT_S="3").output
    assert "port=1, wait_s=3.0, reaper=False" in told
    assert "'port': 'command line', 'wait_s': 'environment', 'reaper': 'command line', 'redis_url': 'default'" in told


def test_empty_variable_is_not_given() -> None:
    """A variable that is empty counts as not there."""
    assert "port=8080" in given(TITAN_PORT="").output


@pytest.mark.parametrize("text", ["a=1;b=x y", "a=1\nb=x y\n", " a=1 ;; b=x y;"])
def test_several_in_one_variable(text: str) -> None:
    """The variable of a repeatable option holds several values, one a line or with `;` between them."""
    assert "run=('a=1', 'b=x y')" in given(TITAN_RUN=text).output
    assert "run=('a;1', 'b')" in given("--run", "a;1", "--run", "b").output


@pytest.mark.parametrize(
    ("words", "environment"),
    [(["--port", "65536"], {}), ([], {"TITAN_PORT": "65536"}), (["--port", "x"], {}), ([], {"TITAN_PORT": "x"})],
)
def test_out_of_bounds(words: list[str], environment: dict[str, str]) -> None:
    """A value out of bounds or of the wrong kind is wrong usage, and the message has both names of the setting."""
    told = given(*words, **environment)
    assert told.exit_code == 2
    assert "--port" in told.output
    assert "TITAN_PORT" in told.output


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0"])
def test_numbers_that_are_none(text: str) -> None:
    """A time must be a number that one can wait for."""
    told = given("--wait-s", text)
    assert told.exit_code == 2
    assert "--wait-s" in told.output


def test_typo_stops_a_start() -> None:
    """A TITAN_ variable that nothing knows stops the start with its name, and the name that was probably meant."""
    told = given(TITAN_DELIVERY="1", TITAN_PROT="9000")
    assert told.exit_code == 2
    assert "TITAN_PROT is not a setting; did you mean TITAN_PORT?" in told.output


def test_typo_unlike_anything() -> None:
    """Where no name is near, the error says how to see all of them."""
    assert "`titan config`" in given(TITAN_QQQQQQQQ="1").output


def test_variables_of_jobs_are_no_typos() -> None:
    """Variables that a worker sets for its jobs may be in the environment of a titan that a job starts."""
    names = ("TITAN_JOB_ID", "TITAN_GROUP", "TITAN_DELIVERY", "TITAN_IMAGE", "TITAN_PAYLOAD_FILE")
    assert given(**dict.fromkeys(names, "x")).exit_code == 0


def test_help_hides_secrets() -> None:
    """The help has every setting with its default, but not the default of a secret."""
    told = given("--help").output
    assert "--wait-s" in told
    assert "1.5" in told
    assert "hidden" not in told


@pytest.mark.parametrize("struct", [BrokerSettings, WorkerSettings])
def test_every_setting_is_described(struct: type[Struct]) -> None:
    """Every setting has a line on what it does, and one that is a time or a size has its unit in the name."""
    for setting in settings_of(struct):
        assert setting.description.endswith(".")
        for unit, ending in ((" in s", "_s"), (" in bytes", "_bytes")):
            if unit in setting.description:
                assert setting.name.endswith(ending), setting.name


def test_unknown_variables() -> None:
    """Only variables with the prefix are looked at."""
    assert unknown_variables({"TITAN_A"}, {"TITAN_A": "", "TITAN_B": "", "PATH": ""}) == ["TITAN_B"]
