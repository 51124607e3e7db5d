"""What a sentinel says about a primary, and which of several sentinels is right.

A sentinel that is cut off from the others still names the old primary. Each failover has a higher config-epoch than all
before it, so the highest one wins.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from broker.resp.seeds import Place, text_of


class Primary(NamedTuple):
    """Host and port of a primary, and the config-epoch of the failover that made it one."""

    place: Place
    epoch: int


class SentinelView(NamedTuple):
    """The answer of one sentinel: its run id, the primary, and the other sentinels by their run ids."""

    sentinel: str
    primary: Primary
    others: dict[str, Place]


def commands(service: str) -> tuple[tuple[str, ...], ...]:
    """The commands of which `view_of` reads the replies.

    During a failover SENTINEL MASTER has the new epoch with the old address, so the address is asked for separately. It
    is asked for after the epoch, so that it is not older.
    """
    return (
        ("SENTINEL", "MASTER", service),
        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service),
        ("SENTINEL", "SENTINELS", service),
        ("SENTINEL", "MYID"),
    )


def view_of(replies: Sequence[Any], _: Place) -> SentinelView | None:
    """The view in the replies to `commands`; None if the sentinel does not know the service."""
    master, place, others, own_id = replies
    if not isinstance(master, list) or not isinstance(place, list):
        return None
    found = Primary((text_of(place[0]), int(place[1])), int(_fields(master).get("config-epoch", 0)))
    rows = [_fields(row) for row in others] if isinstance(others, list) else []
    named = {row["runid"]: (row["ip"], int(row["port"])) for row in rows if row.get("runid")}
    return SentinelView("" if isinstance(own_id, Exception) else text_of(own_id), found, named)


def choose(views: Iterable[SentinelView], known: Primary | None, sentinels: int) -> Primary | None:
    """The primary that the views name: the one with the highest config-epoch, and among equals the most named.

    Another address than the known one without a higher epoch must be named by more than half of all `sentinels`:
    those that did not answer may know of a later failover. None: keep the known primary.
    """
    votes = Counter(view.primary for view in {view.sentinel or str(i): view for i, view in enumerate(views)}.values())
    if not votes:
        return None
    highest = max(primary.epoch for primary in votes)
    best = max((primary for primary in votes if primary.epoch == highest), key=lambda one: (votes[one], one == known))
    if known is None or highest > known.epoch:
        return best
    return best if 2 * votes[best] > sentinels else None


def _fields(row: Sequence[Any]) -> dict[str, str]:
    words = [text_of(word) for word in row]
    return dict(zip(words[::2], words[1::2], strict=False))
