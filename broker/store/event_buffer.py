"""Collects in memory what a broker did, by group and kind, until it is written a tenth of a second later."""

from collections.abc import Iterable
from itertools import islice

from broker.models.events import MOST_IDS, EventKind

MOST_EVENTS = 2000
"""Events that wait at most. Of more the listeners learn that some are missing."""

Row = tuple[EventKind, str, int, list[str], str]
"""Kind, group, number, ids and the name of a token, as the store keeps them."""


class EventBuffer:
    """What happened since the last `take`. It exists only while somebody listens."""

    def __init__(self) -> None:
        self._found: dict[tuple[EventKind, str, str], tuple[int, list[str]]] = {}
        self._is_full = False

    def note(self, kind: EventKind, group: str, n: int, ids: Iterable[str | bytes] = (), by: str = "") -> None:
        """Note that it happened to n jobs; `ids` are those of some of them, or of all."""
        if n <= 0:
            return
        key = (kind, group, by)
        before = self._found.get(key)
        if before is None:
            if len(self._found) >= MOST_EVENTS:
                self._is_full = True
                return
            before = self._found[key] = (0, [])
        count, kept = before
        room = MOST_IDS - len(kept)
        if room > 0:
            kept += [each.decode() if isinstance(each, bytes) else each for each in islice(ids, room)]
        self._found[key] = (count + n, kept)

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not self._found

    def take(self) -> tuple[list[Row], bool]:
        """The events so far, and whether some are missing."""
        found, is_full = self._found, self._is_full
        self._found, self._is_full = {}, False
        return [(kind, group, n, ids, by) for (kind, group, by), (n, ids) in found.items()], is_full
