"""Named brokers of a person: `titan context use prod` sets the defaults of the connection's options.

They are in `titan/contexts.toml` below XDG_CONFIG_HOME, or ~/.config. An option or a variable wins over them.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

NAME = r"^[A-Za-z0-9._-]{1,64}(?![\s\S])"
_FIELDS = ("broker_url", "token_file", "ca_file", "cert_file")


class ContextsUnreadable(ValueError):
    """The file of contexts cannot be used. The text says why."""


class BrokerContext(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to reach a broker. Files are absolute paths."""

    broker_url: list[str] = []
    token_file: str = ""
    ca_file: str = ""
    cert_file: str = ""


class Contexts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All contexts, and the one in use; '' for none."""

    current: str = ""
    context: dict[Annotated[str, Meta(pattern=NAME)], BrokerContext] = {}


def contexts_path(environ: Mapping[str, str] | None = None) -> Path:
    """The file. A relative XDG_CONFIG_HOME is ignored, as its specification says."""
    present = os.environ if environ is None else environ
    home = Path(present.get("XDG_CONFIG_HOME", ""))
    return (home if home.is_absolute() else Path("~/.config").expanduser()) / "titan" / "contexts.toml"


def read_contexts() -> Contexts:
    """The contexts; none without a file. Raises ContextsUnreadable."""
    try:
        path = contexts_path()
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Contexts)
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # RuntimeError: there is no home folder
        return Contexts()
    except OSError as error:
        raise ContextsUnreadable(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise ContextsUnreadable(f"{path} is not a file of contexts: {error}") from None


def write_contexts(contexts: Contexts) -> None:
    """Replace the file. Only its owner can read it. Raises OSError."""
    lines = [f"current = {_text(contexts.current)}", ""]
    for name, context in contexts.context.items():
        fields = {field: getattr(context, field) for field in _FIELDS}
        lines += [f"[context.{_text(name)}]"]
        lines += [f"{field} = {_text(value)}" for field, value in fields.items() if value] + [""]
    path = contexts_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    part.replace(path)


def current_context() -> BrokerContext:
    """The context in use; an empty one without. TITAN_CONTEXT wins over the file. Raises ContextsUnreadable."""
    name = os.environ.get("TITAN_CONTEXT", "")
    contexts = read_contexts()
    name = name or contexts.current
    if name and name not in contexts.context:
        raise ContextsUnreadable(f"There is no context {name!r}; titan context list shows them")
    return contexts.context.get(name, BrokerContext())


def _text(value: str | list[str]) -> str:
    """A string or a list of strings as TOML, which has JSON's escapes."""
    return msgspec.json.encode(value).decode()
