"""The fields of a settings struct: each has a unit, a default, a description and a TITAN_ variable.

A process has one frozen struct. `broker.cli.options` makes the command line from it, `titan config` shows it, and a
test compares the environment files in deploy/ with it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec import Struct

TOKEN_VARIABLE = "TITAN_TOKEN"  # noqa: S105 - a name, not a token
"""The variable of a client's token. It is not an option: every user of a machine can see the options of a process."""


class Setting(NamedTuple):
    """One field of a settings struct."""

    name: str
    type: Any
    default: Any
    description: str
    secret: bool
    variable: str
    """The environment variable: TITAN_ and the name in capitals, unless the field's metadata has another."""

    @property
    def option(self) -> str:
        """The option of the command line."""
        return f"--{self.name.replace('_', '-')}"


def settings_of(struct: type[Struct]) -> list[Setting]:
    """The fields of a settings struct, in order. A `secret` field is never shown."""
    hints = get_type_hints(struct, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(struct):
        meta = next(m for m in hints[field.name].__metadata__ if isinstance(m, msgspec.Meta))
        extra = meta.extra or {}
        variable = extra.get("variable", f"TITAN_{field.name.upper()}")
        type_, description = hints[field.name].__origin__, meta.description or ""
        rows.append(Setting(field.name, type_, field.default, description, bool(extra.get("secret")), variable))
    return rows


def unknown_variables(known: set[str], environ: Mapping[str, str] | None = None) -> list[str]:
    """The TITAN_ variables that are not settings. They stop a start, because each may be a typo."""
    present = os.environ if environ is None else environ
    return sorted(name for name in present if name.startswith("TITAN_") and name not in known)


def is_text(value: str) -> bool:
    """Whether an argument or a variable is UTF-8 text. Python decodes other bytes to surrogates."""
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def token_from(path: str, environ: Mapping[str, str] | None = None) -> str:
    """The token for a broker, from the file or, without a file, from TITAN_TOKEN; '' for none.

    Raises ValueError, which does not show the token.
    """
    present = os.environ if environ is None else environ
    if not path:
        return _as_token(present.get(TOKEN_VARIABLE, ""), f"The value of {TOKEN_VARIABLE}")
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"The token in {path} cannot be read: {reason}") from None
    if not text.strip():
        raise ValueError(f"There is no token in {path}")
    return _as_token(text, f"The text in {path}")


class NotifySocket(NamedTuple):
    """The service manager: the address of its socket, and the interval of its watchdog, in s."""

    address: str
    watchdog_s: float


def has_otel_metrics() -> bool:
    """Whether OpenTelemetry's variable for metrics does not say that nobody takes them."""
    return os.environ.get("OTEL_METRICS_EXPORTER") != "none"


def notify_socket(environ: Mapping[str, str] | None = None) -> NotifySocket | None:
    """The service manager that started this process; None if it expects no notifications."""
    present = os.environ if environ is None else environ
    if not present.get("NOTIFY_SOCKET"):
        return None
    microseconds = present.get("WATCHDOG_USEC", "")
    return NotifySocket(present["NOTIFY_SOCKET"], int(microseconds) / 1e6 if microseconds.isdigit() else 0.0)


def _as_token(text: str, what: str) -> str:
    token = text.strip()
    if not (token.isascii() and all("!" <= letter <= "~" for letter in token)):
        raise ValueError(f"{what} is not a token: it has characters other than printable ASCII")
    return token
