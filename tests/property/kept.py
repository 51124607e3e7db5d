"""What the store keeps of a job, as the model and the small world look at it."""

from typing import Any

import msgspec

from broker.store.format.record import parts_of, split


def kept_of(text: bytes) -> dict[str, Any]:
    """What a record has in addition to group and spec: its settings, and created_at in ms; nothing if it is gone."""
    if not text:
        return {}
    parts = parts_of(split(text)[0])
    return msgspec.json.decode(parts.settings or b"{}") | {"created_at": int(parts.created_at)}
