"""Request bodies in which a field that nobody knows is refused: max_retry would silently lose the retries.

The structs themselves pass unknown fields over, since answers and what the store keeps may be of another version. Here
each has a strict twin, made from it, and the fields that a body may have beside its own: those of a whole job or group
that is sent back as it was answered.
"""

from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Raw, Struct

from broker.models.groups import Group, GroupSettings
from broker.models.jobs import Job, NewJob, NewJobs
from broker.models.reports import Failure, Finish, Finishes, Held, HeldJobs, Release, Start, Success, Touch
from broker.models.workers import Receipt

_OF_JOB = frozenset(Job.__struct_fields__) | {"name", "jobs"}
_REPORTED = _OF_JOB | {"job"}
IGNORED: dict[type[Struct], frozenset[str]] = {
    NewJob: _OF_JOB,
    NewJobs: frozenset({"cursor"}),
    **dict.fromkeys((Start, Touch, Success, Failure, Release), _REPORTED),
    **dict.fromkeys((Finish, Held), _OF_JOB),
    **dict.fromkeys((Finishes, HeldJobs), frozenset({"cursor"})),
    GroupSettings: frozenset(Group.__struct_fields__),
}
"""Fields that a body may have and that are not taken from it, by its struct."""
_OPEN = frozenset({Receipt})
"""Structs that pass unknown fields over in requests too: a newer worker's receipt must not cost its report."""


@cache
def strict(kind: Any) -> Any:
    """The type with every struct in it as its strict twin, which takes its own fields and no others."""
    return _twin(kind, is_forgiving=False)


@cache
def forgiving(kind: Any) -> Any:
    """The same, but the fields of IGNORED are read over: what this takes, the type itself takes too."""
    return _twin(kind, is_forgiving=True)


def _twin(hint: Any, *, is_forgiving: bool) -> Any:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint if hint in _OPEN else _twin_of_struct(hint, is_forgiving=is_forgiving)
    arguments = [_twin(argument, is_forgiving=is_forgiving) for argument in get_args(hint)]
    origin = get_origin(hint)
    if origin is Annotated:
        return Annotated[(arguments[0], *hint.__metadata__)]
    if origin in {Union, UnionType}:
        return Union[tuple(arguments)]  # noqa: UP007 - made from a tuple
    return origin[tuple(arguments)] if origin in {list, dict} else hint


def _twin_of_struct(kind: type[Struct], *, is_forgiving: bool) -> type[Struct]:
    hints = get_type_hints(kind, include_extras=True)
    fields: list[Any] = [
        (field.name, _twin(hints[field.name], is_forgiving=is_forgiving), *_default(field))
        for field in msgspec.structs.fields(kind)
    ]
    if is_forgiving:
        beside = sorted(IGNORED.get(kind, frozenset()).difference(kind.__struct_fields__))
        fields += [(name, Raw, Raw()) for name in beside]
    return msgspec.defstruct(
        kind.__name__, fields, bases=(kind,), frozen=True, kw_only=True, forbid_unknown_fields=True
    )


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if field.default is not NODEFAULT:
        return (field.default,)
    return () if field.required else (msgspec.field(default_factory=field.default_factory),)
