"""Settings structs as click options: --name-with-dashes, TITAN_NAME, the default, and the line on what it does."""

import difflib
import math
import re
from collections.abc import Callable, Container, Iterator
from typing import Any, Literal, TypeVar, get_origin

import click
import msgspec
from click.core import ParameterSource
from msgspec import Struct

from broker.core.settings_schema import TOKEN_VARIABLE, Setting, is_text, settings_of, unknown_variables

PREFIX = "TITAN"
JOB_VARIABLES = frozenset({"TITAN_JOB_ID", "TITAN_GROUP", "TITAN_DELIVERY", "TITAN_IMAGE", "TITAN_PAYLOAD_FILE"})
"""What a worker puts into the environment of a job; not settings, but no typos either."""

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
"""Parameters with names of files or words of commands: these may be any bytes, not only UTF-8 text."""

Source = Literal["default", "environment", "command line"]

_SOURCES: dict[ParameterSource, Source] = {
    ParameterSource.COMMANDLINE: "command line",
    ParameterSource.ENVIRONMENT: "environment",
}
_PLACE = re.compile(r"(?P<what>.*) - at `\$\.(?P<name>\w+).*`")
_BOUND = re.compile(r"Expected `\w+` (>=|<=|>|<) (\S+)")
_BOUNDS = {">=": "{} or more", "<=": "{} or less", ">": "more than {}", "<": "less than {}"}
_WORDS = re.compile(r"\(((?:\w+\|)+\w+)\)")
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


def settings_options(struct: type[Struct], only: Container[str] = (), without: Container[str] = ()) -> Callable[[F], F]:
    """Decorate a click command with an option for each setting (or for some); `settings_from` reads them back."""
    chosen = [s for s in settings_of(struct) if (not only or s.name in only) and s.name not in without]

    def decorate(command: F) -> F:
        for setting in reversed(chosen):
            command = _option(setting)(command)
        return command

    return decorate


def settings_from(context: click.Context, struct: type[S]) -> S:
    """The settings of a command that `settings_options` decorated; what it has no option for has its default.

    Raises UsageError, naming the option or the variable, for a value out of bounds and for a TITAN_ variable that
    nothing knows.
    """
    refuse_unknown_variables(context)
    refuse_what_is_no_text(context)
    names = {setting.name for setting in settings_of(struct)}
    try:
        return msgspec.convert({name: value for name, value in context.params.items() if name in names}, struct)
    except msgspec.ValidationError as error:
        raise _out_of_bounds(context, str(error)) from None


def sources(context: click.Context, struct: type[Struct]) -> dict[str, Source]:
    """Where each setting of a command came from, by name."""
    found = ((setting.name, context.get_parameter_source(setting.name)) for setting in settings_of(struct))
    return {name: _SOURCES.get(source, "default") if source else "default" for name, source in found}


def refuse_unknown_variables(context: click.Context) -> None:
    """Raise UsageError when a TITAN_ variable belongs to nothing: a typo must not be passed over."""
    unknown = unknown_variables(_setting_variables())
    if not unknown:
        return
    known = _setting_variables() | set(_option_variables(context.find_root()))
    unknown = [name for name in unknown if name not in known]
    if unknown:
        raise click.UsageError("; ".join(_suggestion(name, known) for name in unknown), ctx=context)


def refuse_what_is_no_text(context: click.Context) -> None:
    """Raise UsageError that names the parameter when one that is to be text is not UTF-8."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        words = value if isinstance(value, tuple) else (value,)
        if parameter.name not in _BYTES and not all(is_text(word) for word in words if isinstance(word, str)):
            raise click.BadParameter("It is not UTF-8 text.", ctx=context, param=parameter)


def example(*lines: str) -> str:
    """The end of a command's help: what one would type."""
    return "\n".join(["\b", "Example:", *(f"  {text}" for text in lines)])


class Pieces(click.types.StringParamType):
    """The text of a repeatable option; its variable holds several, one a line or with `;` between."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """The pieces of the variable, without empty ones."""
        return [piece.strip() for piece in re.split(r"[\n;]", rv) if piece.strip()]


class Number(click.types.FloatParamType):
    """A number that is neither infinite nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The float, or click's error."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


_TYPES: dict[Any, click.ParamType[Any]] = {bool: click.BOOL, int: click.INT, float: Number()}


def _option(setting: Setting) -> Callable[[F], F]:
    is_bool, is_tuple = setting.type is bool, get_origin(setting.type) is tuple
    names = f"{setting.option}/--no-{setting.option[2:]}" if is_bool else setting.option
    return click.option(
        names,
        setting.name,
        type=_TYPES.get(setting.type, Pieces()),
        multiple=is_tuple,
        default=setting.default,
        help=setting.description,
        envvar=setting.variable,
        show_envvar=True,
        show_default=setting.default not in ("", ()) and not setting.secret,
        allow_from_autoenv=False,
    )


def _out_of_bounds(context: click.Context, text: str) -> click.UsageError:
    found = _PLACE.fullmatch(text)
    if found is None:
        return click.UsageError(text, ctx=context)
    parameter = next(p for p in context.command.params if p.name == found["name"])
    return click.BadParameter(f"It must be {_rule(found['what'])}.", ctx=context, param=parameter)


def _rule(text: str) -> str:
    """What a value must be, from what msgspec says of one that it is not."""
    if found := _BOUND.match(text):
        return _BOUNDS[found[1]].format(found[2].removesuffix(".0"))
    if found := _WORDS.search(text):
        *words, last = found[1].split("|")
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
        | {TOKEN_VARIABLE}
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
