"""Describes an invalid field in a sentence for people: its path, and which values it may have.

msgspec reports the path of the invalid value. The sentence is made from the type at this path, so it always has the
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
_HALF_PAIR_LAST = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u)")
_TAIL_BYTES = 16
"""The decoder takes an end that follows half a surrogate pair for one that comes too early."""
_KINDS: dict[Any, tuple[str, str]] = {
    inspect.StrType: ("a text", " characters"),
    inspect.ListType: ("a list", " items"),
    inspect.VarTupleType: ("a list", " items"),
    inspect.DictType: ("an object", " entries"),
}
_NEAR = 0.75
"""How similar a word must be to be suggested. With less, `status` would suggest `start`."""
_SHOWN = 64
"""How many characters of an unknown word are shown."""


def invalid(kind: Any, error: msgspec.ValidationError) -> Invalid:
    """The refusal of a value of this type that msgspec found invalid."""
    message = str(error)
    found = _PATH.search(message)
    of_key, path = (bool(found[1]), found[2]) if found else (False, "")
    named = _NAMED.match(message[: found.start()] if found else message)
    if named is None:
        if isinstance(error.__cause__, ValueError):  # of a struct that checks a field itself; the text is its name
            path = f"{path}.{error.__cause__}".lstrip(".")
        return Invalid(_sentence(kind, path, of_key=of_key), fields=path)
    fields = f"{path}.{named[1]}".lstrip(".")
    if message.startswith("Object missing"):
        return Invalid(f"{fields} is missing.", fields=fields)
    return unknown(named[1], _fields_at(kind, path), path)


def unknown(name: str, known: Collection[str], path: str = "", what: str = "field") -> Invalid:
    """The refusal of an unknown word, with the most similar known one, or with all known ones if none is similar."""
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
    """The rule for a field of the struct, as a sentence."""
    return _sentence(kind, name)


def broken(error: Exception, body: bytes = b"") -> Invalid:
    """The refusal of a body that is not valid JSON. `body`: it, if the end of it may say more than the error."""
    if isinstance(error, UnicodeDecodeError):
        return Invalid("The body is not valid JSON: it is not UTF-8.")
    if isinstance(error, RecursionError):
        return Invalid("The body is not valid JSON: it is nested too deeply.")
    at = _MALFORMED_AT.search(str(error))
    if "surrogate" in str(error) or (at is None and _HALF_PAIR_LAST.search(body[-_TAIL_BYTES:])):
        place = f": see byte {at[1]}" if at else ", near its end"
        return Invalid(f"The body is not valid JSON: it has half of a surrogate pair{place}.")
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
    found = _with_fields(found)
    return tuple(field.encode_name for field in found.fields) if isinstance(found, inspect.StructType) else ()


def _at(found: Any, path: str) -> Any:
    """The type at a path inside a type, without null."""
    for name in _STEP.findall(path):
        inner = _with_fields(found)
        if isinstance(inner, inspect.StructType):
            inner = next(field.type for field in inner.fields if field.encode_name == name)
        else:
            inner = inner.value_type if isinstance(inner, inspect.DictType) else inner.item_type
        found = inner
    found = _not_null(found)
    return found.type if isinstance(found, inspect.Metadata) and isinstance(found.type, inspect.DictType) else found


def _with_fields(found: Any) -> Any:
    """The type of a value that has parts: of a number or an object, the object."""
    while isinstance(found, inspect.Metadata | inspect.UnionType):
        if isinstance(found, inspect.Metadata):
            found = found.type
        else:
            found = next((kind for kind in found.types if isinstance(kind, inspect.StructType)), _not_null(found))
    return found


def _not_null(found: Any) -> Any:
    """The type of a value that may be null, without null."""
    if isinstance(found, inspect.UnionType):
        return next(kind for kind in found.types if not isinstance(kind, inspect.NoneType))
    return found


def _rule(found: Any) -> str:
    """The rule for a value of the type, with its bounds."""
    if isinstance(found, inspect.Metadata) and isinstance(found.type, inspect.UnionType):
        return ", or ".join(_rule(kind) for kind in found.type.types if not isinstance(kind, inspect.NoneType))
    inner: Any = found
    schema: dict[str, Any] = {}
    words = ""
    while isinstance(inner, inspect.Metadata):
        schema, words = {**schema, **(inner.extra_json_schema or {})}, words or (inner.extra or {}).get("words", "")
        inner = _not_null(inner.type)
    if schema.get("format") == "date-time":
        return f"an RFC 3339 time, such as {EXAMPLE}"
    if isinstance(inner, inspect.LiteralType):
        return f"one of {_listed(inner.values)}"
    if isinstance(inner, inspect.IntType):
        return f"a whole number{_bounds(inner.ge, inner.le, 'from')}"
    if words or type(inner) not in _KINDS:
        return words or ("true or false" if isinstance(inner, inspect.BoolType) else "an object")
    what, unit = _KINDS[type(inner)]
    bounds = _bounds(inner.min_length, inner.max_length, "of")
    return f"{what}{bounds}{unit if bounds else ''}"


def _bounds(low: int | None, high: int | None, of: str) -> str:
    if low is not None and high is not None:
        return f" {of} {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return "" if high is None else f" of at most {high}"


def _listed(words: Collection[Any]) -> str:
    return ", ".join(map(str, words))
