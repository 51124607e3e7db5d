"""Reads and logs the settings that decide whether acknowledged jobs survive, at the start and each minute."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from broker.core.errors import TitanError
from broker.core.events import event
from broker.diagnostics.doctor import eviction, persistence, version
from broker.resp.replies_to_errors import translate_errors, unless_refused
from broker.resp.topology import Server
from broker.store.job_store import JobStore

_log = logging.getLogger(__name__)
AGAIN_S = 60.0
"""How often the settings are read, in s."""


class Durability(NamedTuple):
    """The settings in one line; what is wrong with them; and what the store does not show."""

    settings: str
    weaknesses: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything that an operator should know."""
        return self.weaknesses + self.doubts


async def read(store: JobStore) -> Durability:
    """The present settings of all servers; a doubt about each that does not answer. Raises StoreUnavailable for all."""
    replies = await asyncio.gather(*map(_read, store.topology.all), return_exceptions=True)
    found: list[Durability] = []
    for server, reply in zip(store.topology.all, replies, strict=True):
        if isinstance(reply, TitanError) and not all(isinstance(other, TitanError) for other in replies):
            found.append(Durability("", doubts=(f"{server.shown} does not answer: its settings are not known.",)))
        elif isinstance(reply, BaseException):
            raise reply
        else:
            found.append(reply)
    return Durability(
        "; ".join(dict.fromkeys(one.settings for one in found if one.settings)),
        tuple(dict.fromkeys(text for one in found for text in one.weaknesses)),
        tuple(dict.fromkeys(text for one in found for text in one.doubts)),
    )


async def _read(server: Server) -> Durability:
    info = cast("dict[str, Any]", await translate_errors(server.redis.info("all")))
    kept = await unless_refused(server.redis.config_get("appendfsync")) or {}  # a late store is another matter
    values = [value.decode() if isinstance(value, bytes) else str(value) for value in kept.values()]
    return durability(info, values[0] if values else None)


def durability(info: Mapping[str, Any], fsync: str | None) -> Durability:
    """The settings of one server, from INFO and appendfsync (None: CONFIG is not allowed)."""
    lines = (persistence(info, fsync), eviction(info))
    wrong = [line for line in (version(info), *lines) if line.state == "wrong"]
    weaknesses = [f"{line.found}. {line.advice}" for line in wrong]
    role = str(info.get("role", "unknown"))
    if role != "master":
        weaknesses.append(f"role {role}. A replica takes no jobs: give the address of its primary.")
    doubts = tuple(f"{line.found}. {line.advice}" for line in lines if line.state == "unknown")
    return Durability(", ".join([*(line.found for line in lines), f"role {role}"]), tuple(weaknesses), doubts)


class DurabilityMonitor:
    """Keeps the last settings in `seen`, and logs changes. Before the first read `seen` is empty."""

    def __init__(self, store: JobStore) -> None:
        self.seen = self._said = Durability("")
        self._store = store

    async def look(self) -> Durability:
        """Read the settings. Raises StoreUnavailable."""
        self.seen = await read(self._store)
        return self.seen

    def say(self) -> None:
        """Log what has changed since the last time."""
        before, self._said = self._said, self.seen
        if self.seen.settings != before.settings:
            _log.info("the store: %s", self.seen.settings)
        for warning in self.seen.warnings:
            if warning not in before.warnings:
                _log.warning("the store: %s", warning, extra=event("store.warned"))

    async def run(self) -> None:
        """Log the settings and read them again each minute until cancelled; an unavailable store is tried again."""
        while True:
            self.say()
            await asyncio.sleep(AGAIN_S)
            try:
                await self.look()
            except TitanError as fault:
                _log.debug("the store's settings are not read for now: %s", fault)
