"""Changes of a group's settings as the store writes them, and the tag (ETag) of the settings that a group has."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from broker.models.groups import GroupChanges, GroupSettings, Retentions
from broker.store.format.group_replies import fields_of

SETTINGS_AT = 8
"""Where the settings begin in a row of groups.lua, after the name, created_at and the counts."""
_RETENTION = "retention_"


def changes_of(changes: GroupChanges) -> list[str]:
    """Field, value and so on, as adjust.lua takes them; the value of a default is ''."""
    given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    note, kept = given.pop("note", UNSET), given.pop("retention", UNSET)
    names = list(given)
    retention: dict[str, int] = {}
    if kept is not UNSET:
        kept_s = dict.fromkeys(Retentions.__struct_fields__) if kept is None else msgspec.structs.asdict(kept)
        names += [_RETENTION + status for status, seconds in kept_s.items() if seconds is not UNSET]
        retention = {status: seconds for status, seconds in kept_s.items() if seconds not in (UNSET, None)}
    flat = fields_of(GroupSettings(**given, retention=Retentions(**retention)))
    texts = dict(zip(flat[::2], flat[1::2], strict=True))
    words = [word for name in names for word in (name, texts.get(name, ""))]
    return words if note is UNSET else [*words, "note", note or ""]


def tag_of(row: Sequence[Any]) -> str:
    """The ETag of a row of groups.lua: of the settings and the note, not of the counts."""
    words = row[SETTINGS_AT:]
    pairs = sorted(zip(words[::2], words[1::2], strict=True))
    return f'"{hashlib.sha256(msgspec.json.encode(pairs)).hexdigest()[:24]}"'


def matches(if_match: str, tag: str) -> bool:
    """Whether an If-Match has the tag. `*` stands for any."""
    return any(one.strip() in {"*", tag} for one in if_match.split(","))
