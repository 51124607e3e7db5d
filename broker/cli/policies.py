"""Retry policies on the command line: `--retry max=8,delay=5,except=bad_input+auth_*`, and policies in words."""

import difflib
from typing import Any

import click
from msgspec import structs

from broker.cli.moments import exact
from broker.cli.quantities import Duration
from broker.models.retries import MAX_S, Retry

_NAMES = tuple(field.encode_name for field in structs.fields(Retry))
_DURATIONS = {"delay", "cap", "max_age"}
_LISTS = {"except", "only"}
_EXAMPLE = "max=8,delay=5s,cap=15m"

RETRY_HELP = f"When a failed job is tried again: {_EXAMPLE}. Names: {', '.join(_NAMES)}; a + between reasons."


class RetryPolicy(click.ParamType[dict[str, Any]]):
    """A retry policy: names and values with a comma between them. Its value is as the API has it."""

    name = "policy"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The policy. Fails for unknown names, and texts that are no numbers; the bounds are checked later."""
        found: dict[str, Any] = {}
        for part in filter(None, str(value).split(",")):
            name, equals, text = (word.strip() for word in part.partition("="))
            name = name.replace("-", "_")
            if name not in _NAMES or not equals:
                near = difflib.get_close_matches(name, _NAMES, n=1)
                more = f"did you mean {near[0]}?" if near else f"a policy is like {_EXAMPLE}."
                self.fail(f"{part!r} is no part of a policy; {more}", param, ctx)
            if name in found:
                self.fail(f"{name} is given more than once.", param, ctx)
            found[name] = self._value(name, text, param, ctx)
        return found

    def _value(self, name: str, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if name in _LISTS:
            return text.split("+")
        if name in _DURATIONS:
            return Duration(0, MAX_S).convert(text, param, ctx)
        if name == "backoff":
            return text
        try:
            return float(text) if name == "factor" else int(text)
        except ValueError:
            self.fail(f"{name}={text}: a number is expected.", param, ctx)


def in_words(retry: Retry) -> str:
    """A policy in words: `up to 8 times, after 5 s, then each time 2 times as long, at most 15 min (±30 %)`."""
    if not retry.max:
        return "never"
    parts = [f"up to {retry.max} {'time' if retry.max == 1 else 'times'}", f"after {exact(retry.delay or 0)}"]
    if retry.backoff == "exponential":
        parts.append(f"then each time {retry.factor:g} times as long")
    if retry.backoff == "linear":
        parts.append("then each time as much longer")
    if retry.backoff != "constant":
        parts.append(f"at most {exact(retry.cap or 0)}")
    text = ", ".join(parts) + (f" (±{retry.jitter} %)" if retry.jitter else "")
    if retry.except_:
        text += f"; not after {', '.join(retry.except_)}"
    if retry.only:
        text += f"; only after {', '.join(retry.only)}"
    return text + (f"; not later than {exact(retry.max_age)} after its creation" if retry.max_age else "")
