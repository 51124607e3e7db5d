"""The fields of a body that are sent."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct


def set_fields(struct: Struct) -> dict[str, Any]:
    """The fields that have a value, and are set."""
    given = {name: value for name, value in msgspec.structs.asdict(struct).items() if value not in (None, UNSET)}
    return {name: msgspec.to_builtins(value) for name, value in given.items()}
