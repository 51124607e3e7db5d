"""What the store keeps of a bulk: its spec, JSON that never changes, and its progress, JSON that its owner notes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from broker.core.timestamps import rfc3339
from broker.models.bulk import EXTENDED, Bulk, NewBulk

LEVEL = 1
"""The highest level of a bulk that this version carries out: that of a bulk with one of the fields EXTENDED."""


class BulkSpec(Struct, frozen=True, kw_only=True):
    """What never changes about a bulk. `about`: how many jobs there were to look at.

    `image`: that of the group, where `set` asks for it.
    """

    group: str
    given: NewBulk
    by: str = ""
    about: int = 0
    image: str = ""


class BulkProgress(Struct, kw_only=True):
    """How far a bulk is: the cursor of its next page, and the jobs of this page that may not be done yet.

    `is_last`: no page follows. `is_too_many`: more jobs match than at_most. `paused_because`: the group has no room.
    """

    cursor: str = ""
    is_last: bool = False
    is_too_many: bool = False
    slice: list[str] = []
    looked: int = 0
    matched: int = 0
    done: int = 0
    skipped: dict[str, int] = {}
    refused: dict[str, int] = {}
    why: str = ""
    paused_because: str = ""


class KeptBulk(NamedTuple):
    """A bulk as the store has it. `n_running`: how many bulks of the store run."""

    id: str
    spec: BulkSpec
    progress: BulkProgress
    state: str
    created_at: int
    noted_at: int
    n_running: int
    stopped_by: str
    ended_at: int


encode = msgspec.json.Encoder().encode
_spec = msgspec.json.Decoder(BulkSpec).decode
_progress = msgspec.json.Decoder(BulkProgress).decode


def level_of(given: NewBulk) -> int:
    """The level of a bulk: 0 if every version with bulks knows its fields."""
    return LEVEL if any(getattr(given, name) is not None for name in EXTENDED) else 0


def plain_of(given: NewBulk) -> dict[str, Any]:
    """The fields of a bulk as JSON has them. Of EXTENDED only those that are given, so others keep their text."""
    fields = msgspec.to_builtins(given)
    return {name: value for name, value in fields.items() if value is not None or name not in EXTENDED}


def spec_text(spec: BulkSpec) -> bytes:
    """The JSON of a spec."""
    rest = {"image": spec.image} if spec.image else {}
    return encode({"group": spec.group, "given": plain_of(spec.given), "by": spec.by, "about": spec.about} | rest)


def kept_bulk(row: Sequence[Any]) -> KeptBulk:
    """A row of the scripts of bulks."""
    bulk_id, n_running, *texts = row
    fields = {name.decode(): value.decode() for name, value in zip(texts[::2], texts[1::2], strict=True)}
    return KeptBulk(
        id=bulk_id.decode(),
        spec=_spec(fields["spec"]),
        progress=_progress(fields["progress"]) if "progress" in fields else BulkProgress(),
        state=fields["state"],
        created_at=int(fields["created_at"]),
        noted_at=int(fields.get("noted_at", fields["created_at"])),
        n_running=int(n_running),
        stopped_by=fields.get("stopped_by", ""),
        ended_at=int(fields.get("ended_at", 0)),
    )


def shown_bulk(kept: KeptBulk) -> Bulk:
    """A bulk as the API shows it."""
    progress = kept.progress
    seconds = max(0.001, ((kept.ended_at or kept.noted_at) - kept.created_at) / 1000)
    state = kept.state
    if state == "running":
        state = "paused" if progress.paused_because else "waiting" if progress.why else state
    return Bulk(
        **{name: getattr(kept.spec.given, name) for name in NewBulk.__struct_fields__},
        id=kept.id,
        group=kept.spec.group,
        state=state,  # type: ignore[arg-type]  # the scripts write no other words
        why=progress.why or UNSET,
        paused_because=progress.paused_because if state == "paused" else UNSET,
        by=kept.spec.by or UNSET,
        stopped_by=kept.stopped_by or UNSET,
        created_at=rfc3339(kept.created_at),
        ended_at=rfc3339(kept.ended_at) if kept.ended_at else UNSET,
        looked=progress.looked,
        about=kept.spec.about,
        matched=progress.matched,
        done=progress.done,
        skipped=progress.skipped,
        refused=progress.refused,
        per_second=round(progress.done / seconds, 1),
    )
