"""Turns settings structs into click options: --name-with-dashes, TITAN_NAME, the default and the help text."""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Container, Iterator
from typing import Any, TypeVar, get_origin

import click
import msgspec
from click.core import ParameterSource
from msgspec import Struct

from broker.cli.quantities import ByteSize, Duration
from broker.core.settings_schema import TOKEN_VARIABLE, Setting, is_text, settings_of, unknown_variables
from broker.models.doctor import Source

PREFIX = "TITAN"
_OF_JOBS = "JOB_ID GROUP DELIVERY IMAGE LEASE PAYLOAD_FILE RESULT PROGRESS INPUTS BATCH SCHEDULE SCHEDULED_FOR"
JOB_VARIABLES = frozenset(f"TITAN_{name}" for name in _OF_JOBS.split())
"""Variables that a worker sets for a job. They are not settings, but they are no typos either."""

_BYTES = frozenset(
    {
        "app",
        "ca_file",
        "cert_file",
        "config",
        "data_dir",
        "log_store",
        "run",
        "tls_cert",
        "tls_client_ca",
        "tls_key",
        "token_file",
        "tokens",
    }
)
"""Parameters with file names or commands. These may be any bytes, not only UTF-8 text."""

_SOURCES: dict[ParameterSource, Source] = {
    ParameterSource.COMMANDLINE: "command line",
    ParameterSource.ENVIRONMENT: "environment",
}
_FIELD = re.compile(r"(?P<what>.*) - at `\$\.(?P<name>\w+).*`")
_BOUND = re.compile(r"Expected `\w+` (>=|<=|>|<) (\S+)")
_BOUNDS = {">=": "{} or more", "<=": "{} or less", ">": "more than {}", "<": "less than {}"}
_WORDS = re.compile(r"\(((?:\w*\|)+\w+)\)")
_LETTERS = re.compile(r"\[A-Za-z0-9(?P<signs>[^]]*)\]\{(?P<least>\d+),(?P<most>\d+)\}")

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    envvar="TITAN_JSON",
    show_envvar=True,
    allow_from_autoenv=False,
    help="Print JSON.",
)

S = TypeVar("S", bound=Struct)
F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=click.Command)


def settings_options(struct: type[Struct], only: Container[str] = (), without: Container[str] = ()) -> Callable[[F], F]:
    """Add an option for each setting, or for some, to a click command. `settings_from` reads the values."""
    chosen = [s for s in settings_of(struct) if (not only or s.name in only) and s.name not in without]

    def decorate(command: F) -> F:
        for setting in reversed(chosen):
            command = _option(setting)(command)
        return command

    return decorate


def settings_from(context: click.Context, struct: type[S]) -> S:
    """The settings of a command with `settings_options`; settings without an option have their default.

    Raises UsageError with the option or variable for a value out of bounds, and for an unknown TITAN_ variable.
    """
    refuse_unknown_variables(context)
    refuse_non_text(context)
    names = {setting.name for setting in settings_of(struct)}
    try:
        return msgspec.convert({name: value for name, value in context.params.items() if name in names}, struct)
    except msgspec.ValidationError as error:
        raise _out_of_bounds(context, str(error)) from None


def sources(context: click.Context, struct: type[Struct]) -> dict[str, Source]:
    """The source of each setting of a command, by the setting's name."""
    found = ((setting.name, context.get_parameter_source(setting.name)) for setting in settings_of(struct))
    return {name: _SOURCES.get(source, "default") if source else "default" for name, source in found}


def refuse_unknown_variables(context: click.Context) -> None:
    """Raise UsageError for an unknown TITAN_ variable, so that a typo is not ignored."""
    unknown = unknown_variables(_setting_variables())
    if not unknown:
        return
    known = _setting_variables() | set(_option_variables(context.find_root()))
    unknown = [name for name in unknown if name not in known]
    if unknown:
        raise click.UsageError("; ".join(_suggestion(name, known) for name in unknown), ctx=context)


def refuse_non_text(context: click.Context) -> None:
    """Raise UsageError with the parameter whose value must be text and is not UTF-8."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        words = value if isinstance(value, tuple) else (value,)
        if parameter.name not in _BYTES and not all(is_text(word) for word in words if isinstance(word, str)):
            raise click.BadParameter("It is not UTF-8 text.", ctx=context, param=parameter)


def example(*lines: str) -> Callable[[C], C]:
    """Decorate a command with example command lines. Its help has them after the first paragraph."""

    def decorate(command: C) -> C:
        text = inspect.cleandoc(command.help or "").replace("\\b\n", "\b\n")  # docstrings with it are raw
        first, _, rest = text.partition("\n\n")
        examples = "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])
        command.help = "\n\n".join(filter(None, [first, examples, rest]))
        return command

    return decorate


class RepeatableText(click.types.StringParamType):
    """The text of a repeatable option. Its variable holds several texts, separated by line breaks or `;`."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """The texts in the variable, without empty ones."""
        return [text.strip() for text in re.split(r"[\n;]", rv) if text.strip()]


class Number(click.types.FloatParamType):
    """A number that is neither infinite nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert to float. Raises click's BadParameter."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


_TYPES: dict[Any, click.ParamType[Any]] = {bool: click.BOOL, int: click.INT, float: Number()}


def _type(setting: Setting) -> click.ParamType[Any]:
    """The type of an option: names with a unit take durations and sizes as people write them."""
    if setting.name.endswith("_s") and setting.type in {int, float}:
        return Duration(is_whole=setting.type is int)
    if setting.name.endswith("_bytes"):
        return ByteSize()
    return _TYPES.get(setting.type, RepeatableText())


def _option(setting: Setting) -> Callable[[F], F]:
    is_bool, is_tuple = setting.type is bool, get_origin(setting.type) is tuple
    names = f"{setting.option}/--no-{setting.option[2:]}" if is_bool else setting.option
    return click.option(
        names,
        setting.name,
        type=_type(setting),
        multiple=is_tuple,
        default=setting.default,
        help=setting.description,
        envvar=setting.variable,
        show_envvar=True,
        show_default=setting.default not in ("", ()) and not setting.secret,
        allow_from_autoenv=False,
    )


def _out_of_bounds(context: click.Context, text: str) -> click.UsageError:
    found = _FIELD.fullmatch(text)
    if found is None:
        return click.UsageError(text, ctx=context)
    parameter = next(p for p in context.command.params if p.name == found["name"])
    return click.BadParameter(f"It must be {_rule(found['what'])}.", ctx=context, param=parameter)


def _rule(text: str) -> str:
    """Turn msgspec's error message into a rule for the value, such as '1 or more'."""
    if found := _BOUND.match(text):
        return _BOUNDS[found[1]].format(found[2].removesuffix(".0"))
    if found := _WORDS.search(text):
        *words, last = (word or "empty" for word in found[1].split("|"))
        return f"{', '.join(words)} or {last}"
    if found := _LETTERS.search(text):
        signs = " ".join(found["signs"].replace("\\", ""))
        return f"{found['least']} to {found['most']} characters: letters, digits and {signs}"
    return "given" if "length >= 1" in text else "another value"


def _setting_variables() -> set[str]:
    from broker.core.settings import BrokerSettings
    from worker.settings import WorkerSettings

    return (
        {s.variable for struct in (BrokerSettings, WorkerSettings) for s in settings_of(struct)}
        | JOB_VARIABLES
        | {TOKEN_VARIABLE, "TITAN_CONTEXT"}
    )


def _option_variables(context: click.Context) -> Iterator[str]:
    for parameter in context.command.params:
        if isinstance(parameter.envvar, str):
            yield parameter.envvar
        if isinstance(parameter, click.Option) and parameter.allow_from_autoenv and context.auto_envvar_prefix:
            yield f"{context.auto_envvar_prefix}_{str(parameter.name).upper()}"
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None:
                yield from _option_variables(click.Context(command, parent=context, info_name=name))


def _suggestion(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else " (`titan config` lists them).")
