"""The options of bulk actions: filters, pace, and what a retry changes in the new jobs."""

import re
from collections.abc import Callable
from typing import Any

import click

from broker.cli.client_options import error_text, option
from broker.cli.quantities import Duration, PastMoment
from broker.core.states import FINISHED, STATUSES
from broker.http.sentences import unknown
from broker.models.bulk import TAKES, Action, RetryChanges

_TEXTS = frozenset({"image", "payload"})
_DURATIONS = frozenset({"delay", "timeout", "retries_delay"})
_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_BETWEEN_IDS = re.compile(r"[\s,]+")


class _Change(click.ParamType[tuple[str, object]]):
    """NAME=VALUE of a field of the new jobs. Nothing after = is the default, and a payload may be @FILE."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, object]:
        """The name and the value as the API takes it, None for the default."""
        if isinstance(value, tuple):
            return value
        name, sign, text = value.partition("=")
        name = name.strip().replace("-", "_")
        if name not in RetryChanges.__struct_fields__:
            self.fail(error_text(unknown(name, RetryChanges.__struct_fields__)), param, ctx)
        if not sign:
            self.fail(f"{value!r} has no value: --set {name}=VALUE, or {name}= for the default.", param, ctx)
        return name, _changed(name, text, param, ctx) if text else None


class _Ids(click.ParamType[list[str]]):
    """Ids with commas or spaces between them, or @FILE with such a text; @- is stdin."""

    name = "ID,ID…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The ids."""
        if isinstance(value, list):
            return value
        text = _read(value[1:], param, ctx) if value.startswith("@") else value
        return list(filter(None, _BETWEEN_IDS.split(text)))


def bulk_options(action: Action) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options of an action."""
    options = [*_FILTERS, *(_OF_FINISHED if set(FINISHED) & set(TAKES[action]) else ())]
    options += [*_NAMED, *(_CHANGES if action == "retry" else ()), *_PACE]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


_FILTERS = (
    option(
        "--status", "status", multiple=True, type=click.Choice(STATUSES), help="Only jobs in this status; repeatable."
    ),
    option("--image", help="Only jobs of this image."),
    option("--reason", help="Only jobs with this reason."),
    option("--cause", help="Only jobs that failed of this cause (titan group failures)."),
    option("--text", help="Only jobs whose payload has this text."),
    option("--created-before", type=PastMoment(), help="Only jobs created before this time (yesterday)."),
    option("--created-after", type=PastMoment(), help="Only jobs created after this time (2 hours ago)."),
    option("--older-than", type=Duration(), help="Only jobs older than 90s, 15min, 12h or 7d."),
    option("--retried/--not-retried", default=None, help="Only jobs that were retried, or only others."),
)
_OF_FINISHED = (
    option("--completed-before", type=PastMoment(), help="Only jobs that ended before this time ('12:30')."),
    option("--completed-after", "--since", type=PastMoment(), help="Only jobs that ended after this time ('10:00')."),
)
_NAMED = (
    option(
        "--ids",
        multiple=True,
        type=_Ids(),
        help="Exactly these jobs, and no other filter; repeatable. @FILE reads them from a file, @- from stdin.",
    ),
)
_CHANGES = (
    option(
        "--set",
        multiple=True,
        type=_Change(),
        help="A field of the new jobs: image, payload, delay, timeout, priority, max_retries or retries_delay. "
        "timeout= is the default; payload=@FILE reads a file. Repeatable.",
    ),
)
_PACE = (
    option("--rate", type=int, metavar="N", help="The most jobs a second."),
    option("--limit", type=int, metavar="N", help="How many jobs at most."),
    option("--at-most", type=int, metavar="N", help="Stop when more jobs than this match."),
    option("--dry-run", is_flag=True, help="Only count the jobs that match."),
    option("--yes", is_flag=True, help="Do not ask."),
    option("--detach", is_flag=True, help="Do not wait for its end."),
    option("--key", default="", help="Idempotency-Key: a repeat with the same key is the same bulk."),
)


def _changed(name: str, text: str, param: click.Parameter | None, ctx: click.Context | None) -> object:
    if name in _TEXTS:
        return _read(text[1:], param, ctx) if name == "payload" and text.startswith("@") else text
    if name in _DURATIONS:
        return Duration().convert(text, param, ctx)
    return int(text) if _INTEGER.fullmatch(text) else text


def _read(name: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
    """The text of a file, or of stdin for -. Fails for one that cannot be read or is no UTF-8."""
    file = click.File("rb").convert(name, param, ctx)
    try:
        return bytes(file.read()).decode()
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{name} is not UTF-8 text: byte {error.start} is invalid.", ctx, param) from None
