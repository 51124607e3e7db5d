"""Refuses unknown fields in request bodies: otherwise a typing error such as max_retry would silently lose the retries.

The structs of `models` ignore unknown fields, because responses and stored records may be of another version. This
module derives a strict twin of each struct. A body may also have the fields of a whole job or group, so that a client
can send one back as it received it; these are ignored.
"""

from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Raw, Struct

from broker.models.groups import Group, GroupChanges, GroupSettings, NamedSettings
from broker.models.jobs import Job, NewJob, NewJobs
from broker.models.reports import Failure, Finish, Finishes, Held, HeldJobs, Release, Start, Success, Touch
from broker.models.workers import Receipt

_OF_JOB = frozenset(Job.__struct_fields__) | {"name", "jobs"}
_REPORTED = _OF_JOB | {"job"}
IGNORED: dict[type[Struct], frozenset[str]] = {
    NewJob: _OF_JOB,
    NewJobs: frozenset({"cursor"}),
    **dict.fromkeys((Start, Touch, Success, Release), _REPORTED),
    Failure: _REPORTED - {"result"},  # it would be lost: a failed job keeps none
    **dict.fromkeys((Finish, Held), _OF_JOB),
    **dict.fromkeys((Finishes, HeldJobs), frozenset({"cursor"})),
    **dict.fromkeys((GroupSettings, NamedSettings, GroupChanges), frozenset(Group.__struct_fields__)),
}
"""Fields that a body may have and that are ignored, by struct."""
_OPEN = frozenset({Receipt})
"""Structs that ignore unknown fields in requests too: a newer worker's receipt must not make its report invalid."""


@cache
def strict(kind: Any) -> Any:
    """The type with each struct replaced by its strict twin, which accepts its own fields only."""
    return _twin(kind, is_forgiving=False)


@cache
def forgiving(kind: Any) -> Any:
    """The same, but the fields of IGNORED are allowed. The type itself accepts all that this accepts."""
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
        ignored = sorted(IGNORED.get(kind, frozenset()).difference(kind.__struct_fields__))
        fields += [(name, Raw, Raw()) for name in ignored]
    return msgspec.defstruct(
        kind.__name__, fields, bases=(kind,), frozen=True, kw_only=True, forbid_unknown_fields=True
    )


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if field.encode_name != field.name:
        return (msgspec.field(default=field.default, name=field.encode_name),)
    if field.default is not NODEFAULT:
        return (field.default,)
    return () if field.required else (msgspec.field(default_factory=field.default_factory),)
