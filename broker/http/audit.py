"""Collects what people and programs do, and notes it in the store ten times a second.

A request appends one tuple to a list. Equal acts of one client within a tenth of a second become one entry, with a
number and up to 20 ids, so a program that cancels 1,000 jobs a second makes ten entries. Each entry is a line of the
broker's log too.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.core.errors import TitanError
from broker.core.events import OF_ACTS, REFUSED, event
from broker.core.ids import lease_token
from broker.core.words import counted
from broker.models.audit import MAX_IDS
from broker.store.audit import ACTS_AT_ONCE, Act

if TYPE_CHECKING:
    from broker.store.audit import AuditTrail

EVERY_S = 0.1
AFTER_FAULT_S = 1.0
"""How long after a fault of the store the entries are sent again, s."""
MOST_WAITING = 10_000
"""Entries that wait for the store at most; then the oldest are dropped, with a line in the log."""

_log = logging.getLogger("broker.audit")


class Audit:
    """The acts of one broker. `note` is the one method to call."""

    def __init__(self, trail: "AuditTrail") -> None:
        self._trail = trail
        self._acts: list[Act] = []
        self._requests: dict[Act, set[str]] = {}
        self._waiting: list[Act] = []
        self._batch: tuple[str, list[Act]] = ("", [])
        self._repeats = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def note(self, act: Act, request: str = "") -> None:
        """Note an act of a request. It is in the store about a tenth of a second later."""
        self._acts.append(act)
        self._requests.setdefault(_kind(act), set()).add(request)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._send)

    async def close(self) -> None:
        """Send the rest, once."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._acts or self._waiting or self._batch[1]:
            await self._flush()
        if self._timer is not None:
            self._timer.cancel()

    def _send(self) -> None:
        self._sending = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        """Send the acts so far; those of the time until the store answers are sent after that."""
        acts, self._acts = merged(self._acts), []
        requests, self._requests = self._requests, {}
        for act in acts:
            _log.info("%s", line_of(act), extra=_event(act, requests.get(_kind(act), set())))
        self._waiting += acts
        if (n := len(self._waiting) - MOST_WAITING) > 0:
            del self._waiting[:n]
            _log.error("the store does not answer: %s dropped", counted(n, "act"))
        pause_s = EVERY_S
        try:
            await self._note_waiting()
        except TitanError as fault:
            _log.warning("acts wait for the store: %s", fault.message)
            pause_s = AFTER_FAULT_S
        is_left = bool(self._acts or self._waiting or self._batch[1])
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._send) if is_left else None

    async def _note_waiting(self) -> None:
        """Send what waits, batch by batch. A batch whose outcome is unknown is sent again as it was."""
        while self._batch[1] or self._waiting:
            if not self._batch[1]:
                self._batch = lease_token(), self._waiting[:ACTS_AT_ONCE]
                del self._waiting[:ACTS_AT_ONCE]
            self._repeats += 1
            await self._trail.note(*self._batch, self._repeats - 1)
            self._batch, self._repeats = ("", []), 0


def merged(acts: Sequence[Act]) -> list[Act]:
    """One act for all that differ in their ids alone, in the order of the first ones."""
    ids: dict[Act, list[str]] = {}
    numbers: dict[Act, int] = {}
    for act in acts:
        kind = _kind(act)
        ids.setdefault(kind, []).extend(act.ids)
        numbers[kind] = numbers.get(kind, 0) + act.n
    return [kind._replace(ids=tuple(ids[kind][:MAX_IDS]), n=numbers[kind]) for kind in ids]


def _kind(act: Act) -> Act:
    """What acts have in common that become one entry."""
    return act._replace(ids=(), n=0)


def _event(act: Act, requests: set[str]) -> dict[str, object]:
    """The keys of the line of an act. It names the request if there was one only, and the job if there was one."""
    request = next(iter(requests)) if len(requests) == 1 else ""
    name = OF_ACTS.get(act.act, "audit") if act.outcome in {"ok", "running"} else REFUSED.get(act.act, "audit")
    job = act.ids[0] if len(act.ids) == 1 and name.startswith("job.") else ""
    keys = {"address": act.address, "act": act.act, "n": act.n, "outcome": act.outcome, "detail": act.detail}
    return event(name, job=job, group=act.group, request=request, by=act.by, **keys)


def line_of(act: Act) -> str:
    """An act as a line of the log: `cancel by=ann address=::1 group=mail n=2 ids=…,… outcome=ok`."""
    fields = act._asdict() | {"ids": ",".join(act.ids)}
    del fields["act"]
    return " ".join([act.act, *(f"{name}={_shown(value)}" for name, value in fields.items() if value != "")])


def _shown(value: object) -> object:
    """A value without line breaks and other control characters."""
    return value if str(value).isprintable() else ascii(value)
