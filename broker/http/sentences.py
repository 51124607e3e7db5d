"""What is wrong with a field, as a sentence for people: its path, and all that it may be.

msgspec says where a value does not fit; the sentence is made from the type that stands there, so it always has the
whole rule, and never a pattern or the name of a class.
"""

import difflib
import re
from collections.abc import Collection
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct, inspect

from broker.core.errors import Invalid
from broker.core.timestamps import EXAMPLE

_PATH = re.compile(r" - at (`key` in )?`\$\.?((?:\.?\w+|\[[0-9.]+\])*)`$", re.ASCII)
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)
_STEP = re.compile(r"(\w+)|\[[0-9.]+\]", re.ASCII)
_MALFORMED_AT = re.compile(r"\(byte ([0-9]+)\)$")
_KINDS: dict[Any, tuple[str, str]] = {
    inspect.StrType: ("a text", " characters"),
    inspect.ListType: ("a list", " items"),
    inspect.DictType: ("an object", " entries"),
}
_NEAR = 0.75
"""How alike a word must be to be suggested; less, and status would suggest start."""
_SHOWN = 64
"""How much is shown of a word that nobody knows."""


def invalid(kind: Any, error: msgspec.ValidationError) -> Invalid:
    """What msgspec found wrong in a value of this type."""
    text = str(error)
    place = _PATH.search(text)
    of_key, path = (bool(place[1]), place[2]) if place else (False, "")
    named = _NAMED.match(text[: place.start()] if place else text)
    if named is None:
        if isinstance(error.__cause__, ValueError):  # of a struct that looks at a field itself, and says which
            path = f"{path}.{error.__cause__}".lstrip(".")
        return Invalid(_sentence(kind, path, of_key=of_key), fields=path)
    fields = f"{path}.{named[1]}".lstrip(".")
    if text.startswith("Object missing"):
        return Invalid(f"{fields} is missing.", fields=fields)
    return unknown(named[1], _fields_at(kind, path), path)


def unknown(name: str, known: Collection[str], path: str = "", what: str = "field") -> Invalid:
    """The refusal of a word that nobody knows, with the nearest known one; with all of them where none is near."""
    shown = name.encode("utf-8", "replace").decode()[:_SHOWN]
    called = shown or "without a name"
    near = difflib.get_close_matches(name[:_SHOWN].lower(), known, n=1, cutoff=_NEAR)
    if near:
        more = f"did you mean {near[0]}?"
    else:
        more = f"known {'is' if len(known) == 1 else 'are'} {_listed(known)}." if known else "none is known here."
    where = f" in {path}" if path else ""
    return Invalid(f"There is no {what} {called}{where}; {more}", fields=f"{path}.{shown}".lstrip("."))


def must_be(kind: type[Struct], name: str) -> str:
    """What a field of the struct must be, as a sentence."""
    return _sentence(kind, name)


def broken(error: Exception) -> Invalid:
    """What is wrong with a body that is no JSON."""
    if isinstance(error, UnicodeDecodeError):
        return Invalid("The body is not valid JSON: it is not UTF-8.")
    if isinstance(error, RecursionError):
        return Invalid("The body is not valid JSON: it is nested too deeply.")
    at = _MALFORMED_AT.search(str(error))
    return Invalid(f"The body is not valid JSON: {f'see byte {at[1]}' if at else 'it ends too early'}.")


def _sentence(kind: Any, path: str, *, of_key: bool = False) -> str:
    found = _at(inspect.type_info(kind), path)
    if of_key:
        return f"Each name in {path} must be {_rule(found.key_type)}."
    if path.endswith("[...]"):
        return f"Each value in {path.removesuffix('[...]')} must be {_rule(found)}."
    return f"{path or 'The body'} must be {_rule(found)}."


@cache
def _fields_at(kind: Any, path: str) -> tuple[str, ...]:
    found = _at(inspect.type_info(kind), path)
    return tuple(field.encode_name for field in found.fields) if isinstance(found, inspect.StructType) else ()


def _at(found: Any, path: str) -> Any:
    """The type at a path of the type, without null."""
    found = _given(found)
    for name in _STEP.findall(path):
        plain: Any = found.type if isinstance(found, inspect.Metadata) else found
        if isinstance(plain, inspect.StructType):
            plain = next(field.type for field in plain.fields if field.encode_name == name)
        else:
            plain = plain.value_type if isinstance(plain, inspect.DictType) else plain.item_type
        found = _given(plain)
    return found.type if isinstance(found, inspect.Metadata) and isinstance(found.type, inspect.DictType) else found


def _given(found: Any) -> Any:
    """Of a value that may be null, what it is when it is given."""
    if isinstance(found, inspect.UnionType):
        return next(kind for kind in found.types if not isinstance(kind, inspect.NoneType))
    return found


def _rule(found: Any) -> str:
    """What a value of the type is, with its bounds."""
    plain: Any = found
    schema: dict[str, Any] = {}
    words = ""
    while isinstance(plain, inspect.Metadata):
        schema, words = {**schema, **(plain.extra_json_schema or {})}, words or (plain.extra or {}).get("words", "")
        plain = _given(plain.type)
    if schema.get("format") == "date-time":
        return f"an RFC 3339 time, such as {EXAMPLE}"
    if isinstance(plain, inspect.LiteralType):
        return f"one of {_listed(plain.values)}"
    if isinstance(plain, inspect.IntType):
        return f"a whole number{_bounds(plain.ge, plain.le, 'from')}"
    if words or type(plain) not in _KINDS:
        return words or ("true or false" if isinstance(plain, inspect.BoolType) else "an object")
    what, unit = _KINDS[type(plain)]
    bounds = _bounds(plain.min_length, plain.max_length, "of")
    return f"{what}{bounds}{unit if bounds else ''}"


def _bounds(low: int | None, high: int | None, of: str) -> str:
    if low is not None and high is not None:
        return f" {of} {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"


def _listed(words: Collection[Any]) -> str:
    return ", ".join(map(str, words))
