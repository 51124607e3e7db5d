"""JSON, forms and times to values, structs to JSON. Input that cannot be decoded is Invalid, with the field's name."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec

from broker.core.errors import Invalid
from broker.core.timestamps import EXAMPLE, NOT_GIVEN, milliseconds
from broker.http.request.strict import IGNORED, forgiving, strict
from broker.http.sentences import broken, invalid, unknown

Model = TypeVar("Model")
Form = TypeVar("Form", bound=msgspec.Struct)

encode = msgspec.json.Encoder().encode
"""A struct as JSON."""

_MAX_FORM_FIELDS = 20


def decode(kind: type[Model], body: bytes) -> Model:
    """A JSON body as a struct. No body, or null, is an empty object. An unknown field is Invalid.

    Fields of a whole job (see strict.IGNORED) are ignored. Only a body that has such fields is decoded again for this.
    """
    given = body if body and body != b"null" else b"{}"
    try:
        return cast("Model", _decoder(kind, strict).decode(given))  # type: ignore[arg-type]  # a class has a hash
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if not str(error).startswith("Object contains unknown field"):
            raise _refusal(kind, error, given) from None
    try:
        _decoder(kind, forgiving).decode(given)  # type: ignore[arg-type]
        return cast("Model", _decoder(kind, _unchanged).decode(given))  # type: ignore[arg-type]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(kind, error, given) from None


def decode_plain(kind: type[Model], body: bytes) -> Model | None:
    """A JSON body as a struct that has all of its fields; None for any other body."""
    try:
        return cast("Model", _decoder(kind, strict).decode(body))  # type: ignore[arg-type]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def convert(kind: type[Model], values: dict[str, Any]) -> Model:
    """Values of a query or a form as a struct. Their types stay as they are: a text is not converted to a number."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise invalid(kind, error) from None


def form(kind: type[Form], body: bytes) -> Form:
    """A urlencoded form as a struct. An empty field counts as not given. An unknown field is Invalid."""
    try:
        pairs = parse_qsl(body.decode(), errors="strict", max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise Invalid("The body is not a valid form.") from None
    values = once(pairs)
    known = kind.__struct_fields__
    for name in values:
        if name not in known and name not in IGNORED.get(kind, ()):
            raise unknown(name, known)
    return convert(kind, {name: value for name, value in values.items() if name in known})


def once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Pairs as a dictionary. A repeated name is Invalid."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise Invalid(f"{name} is given more than once.", fields=name)
        values[name] = value
    return values


def moment(text: str | None, fields: str) -> int | None:
    """A time from a client in ms since 1970; None when there is none, or it is Go's zero time. `fields` is its name."""
    if not text or text == NOT_GIVEN:
        return None
    try:
        return milliseconds(text)
    except (ValueError, OverflowError):
        raise Invalid(f"{fields} must be an RFC 3339 time, such as {EXAMPLE}.", fields=fields) from None


@cache
def _decoder(kind: Any, twin: Callable[[Any], Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(twin(kind))


def _unchanged(kind: Any) -> Any:
    return kind


def _refusal(kind: Any, error: Exception, body: bytes) -> Invalid:
    return invalid(kind, error) if isinstance(error, msgspec.ValidationError) else broken(error, body)
