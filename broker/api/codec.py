"""JSON and text to structs, structs to JSON. What cannot be decoded is Invalid, with the field's name."""

import re
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from broker.errors import Invalid
from broker.times import NOT_GIVEN, milliseconds

Model = TypeVar("Model")

encode = msgspec.json.Encoder().encode
"""A struct as JSON."""

_PATH = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_MAX_FORM_FIELDS = 20


def decode(kind: type[Model], body: bytes) -> Model:
    """A JSON body as a struct. No body, or null, is an empty object."""
    decoder: msgspec.json.Decoder[Model] = _decoder(kind)  # type: ignore[arg-type]  # a class has a hash
    try:
        return decoder.decode(body if body and body != b"null" else b"{}")
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise Invalid("The body is not valid JSON: it is nested too deeply.") from None


def convert(kind: type[Model], values: dict[str, Any]) -> Model:
    """Values that are not JSON (a query, a form) as a struct. Nothing is converted: a text stays a text."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def form(body: bytes) -> dict[str, str]:
    """The fields of an urlencoded form; an empty one counts as not given."""
    try:
        pairs = parse_qsl(body.decode(), errors="strict", max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise Invalid("The body is not a valid form.") from None
    return once(pairs)


def once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Pairs as a dictionary; a name that stands there twice is Invalid."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise Invalid(f"{name!r} is given more than once.", fields=name)
        values[name] = value
    return values


def moment(text: str | None, fields: str) -> int | None:
    """A time that a client gave, in ms since 1970; None when it gave none, or Go's zero time. `fields` names it."""
    if not text or text == NOT_GIVEN:
        return None
    try:
        return milliseconds(text)
    except (ValueError, OverflowError):
        raise Invalid(f"{fields} is not an RFC 3339 time.", fields=fields) from None


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _invalid(error: msgspec.ValidationError) -> Invalid:
    text = str(error)
    path = _PATH.search(text)
    names = [path[1]] if path else []
    missing = _MISSING.search(text)
    if missing:
        names.append(missing[1])
    return Invalid(text.replace("`$.", "`"), fields=".".join(names))
