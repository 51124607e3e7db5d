"""Listening to events: what happens at a broker, as it happens, also after a connection was lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from titan.calls import Request, target
from titan.jobs import time_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titan.jobs import Time

PAUSE_S = 40.0
"""A stream that says nothing for so long is lost, s: the broker sends a comment every 15 s."""
_FIRST_S, _LONGEST_S = 0.5, 5.0


@dataclass(frozen=True)
class Event:
    """What happened to jobs of one group within a tenth of a second."""

    kind: str
    """enqueued, taken, succeeded, failed, requeued, released, cancelled, retried, promoted, expired, paused, resumed,
    bulk, worker_seen or worker_gone; `gap`: events are missing here; `problem`: the store cannot be read now."""
    id: str = ""
    """Give it as `last_id` to continue after this event. A gap and a problem have none."""
    group: str = ""
    n: int = 1
    """How many jobs."""
    ids: Sequence[str] = ()
    """The ids of up to 20 of them."""
    at: str = ""
    """When, by the store's clock, RFC 3339."""
    by: str = ""
    """The name of the token of who did it, of what people do."""
    reason: str = ""
    """Of a gap and a problem: why."""


class Listening:
    """One listener, over all its connections."""

    def __init__(self, groups: Sequence[str], kinds: str | Sequence[str], since: Time | None, last_id: str) -> None:
        names = [kinds] if isinstance(kinds, str) else kinds
        self._query = [("group", group) for group in groups] + [("kind", kind) for kind in names]
        self._since = "" if since is None else time_text(since, "since")
        self._last_id = last_id
        self._fields: dict[str, str] = {}
        self._pause_s = 0.0
        self.has_begun = False
        """Whether a broker has answered. Before that an error is one of the caller."""
        self.is_ready = False
        """Whether all events that were kept have come."""

    @property
    def request(self) -> Request:
        """The request that continues where the last one ended."""
        self._fields = {}
        query = [*self._query, ("since", "" if self._last_id else self._since)]
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        return Request("GET", target("/events", query), headers=headers)

    def pause_s(self) -> float:
        """How long to wait before the next connection."""
        self._pause_s = min(max(2 * self._pause_s, _FIRST_S), _LONGEST_S)
        return self._pause_s

    def feed(self, line: bytes) -> Event | None:
        """The event that ends with this line, if one does."""
        self.has_begun, self._pause_s = True, 0.0
        text = line.decode().rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            self._fields[name] = value.removeprefix(" ")
            self.is_ready = self.is_ready or text == ": ready"
            return None
        fields, self._fields = self._fields, {}
        self._last_id = fields.get("id", self._last_id)
        if "data" not in fields:
            return None
        return _event(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))


def _event(name: str, kind: str, data: dict[str, Any]) -> Event:
    if kind == "problem":
        return Event(kind, reason=data["error"]["message"])
    return Event(
        kind,
        name,
        data.get("group", ""),
        data.get("n", 1),
        tuple(data.get("ids", ())),
        data.get("at", ""),
        data.get("by", ""),
        data.get("reason", ""),
    )
