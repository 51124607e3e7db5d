"""The fields of a body that are sent."""

from typing import Any

import msgspec
from msgspec import Struct


def set_fields(struct: Struct) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not None}
