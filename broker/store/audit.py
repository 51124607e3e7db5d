"""The audit of a store: a stream in its first partition, which brokers append to and nobody changes."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import UNSET

from broker.core.errors import Invalid
from broker.core.timestamps import rfc3339
from broker.models.audit import KEPT, MAX_IDS, AuditEntry
from broker.resp.partitions import Partitions

_POSITION = re.compile(r"\d{1,16}-\d{1,10}", re.ASCII)
ACTS_AT_ONCE = 200
"""Acts that one call of the script notes at most."""


class Act(NamedTuple):
    """One act, as a broker notes it. `n` may be more than the number of ids."""

    act: str
    by: str = ""
    address: str = ""
    group: str = ""
    ids: tuple[str, ...] = ()
    n: int = 1
    outcome: str = "ok"
    detail: str = ""


class AuditTrail:
    """Notes acts and lists them. Any method may raise StoreUnavailable."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._partition = partitions.names[0]

    async def note(self, batch: str, acts: Sequence[Act], repeats: int = 0) -> None:
        """Append up to ACTS_AT_ONCE acts, in order. The `batch` is noted once, however often it is sent again.

        `repeats`: how often it was sent before.
        """
        words = [word for act in acts for word in _words(act)]
        await self._partitions.run("audit", self._partition, KEPT, batch, repeats, *words)

    async def list(self, n: int, cursor: str = "") -> tuple[list[AuditEntry], str]:
        """A page of the newest acts, and the cursor after it, '' at the end. Raises Invalid for a foreign cursor."""
        if cursor and _POSITION.fullmatch(cursor) is None:
            raise Invalid("The cursor is not one that this list gave.", fields="cursor")
        rows = await self._partitions.run("audits", self._partition, n + 1, cursor)
        return [_entry(row) for row in rows[:n]], rows[n - 1][0].decode() if len(rows) > n else ""


def _words(act: Act) -> tuple[str | int, ...]:
    ids = " ".join(act.ids[:MAX_IDS])
    return act.by, act.address, act.act, act.group, ids, act.n, act.outcome, act.detail


def _entry(row: Sequence[Any]) -> AuditEntry:
    position, *texts = (value.decode() for value in row)
    fields = dict(zip(texts[::2], texts[1::2], strict=True))
    return AuditEntry(
        at=rfc3339(int(position.partition("-")[0])),
        act=fields["act"],
        by=fields.get("by", UNSET),
        address=fields.get("address", UNSET),
        group=fields.get("group", UNSET),
        ids=fields["ids"].split(" ") if "ids" in fields else UNSET,
        n=int(fields["n"]),
        outcome=fields["outcome"],
        detail=fields.get("detail", UNSET),
    )
