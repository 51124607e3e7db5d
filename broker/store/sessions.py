"""The sessions of people who are logged in, kept in the first partition. The store has no cookie and no token."""

from typing import NamedTuple

from broker.core.timestamps import rfc3339
from broker.resp.partitions import Partitions
from broker.store.clock import Clock

LASTS_S, IDLE_S = 12 * 3600, 2 * 3600
"""How long a session lasts at most, and without use, s."""
MOST_SESSIONS = 1000


class KeptSession(NamedTuple):
    """A session: the SHA-256 of its token, what its requests send to change something, and how long it lasts, s."""

    token: bytes
    csrf: str
    left_s: float


class ListedSession(NamedTuple):
    """A session in a list; times are RFC 3339."""

    id: str
    token: bytes
    began_at: str
    used_at: str


class StoredSessions:
    """Sessions by id, the SHA-256 of the cookie in hex. Any method may raise StoreUnavailable."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._partition = partitions.names[0]
        self._clock = clock

    async def open(self, session_id: str, token: bytes, csrf: str) -> int:
        """Keep a new session; the number of sessions. With MOST_SESSIONS the one that began first ends."""
        arguments = (self._clock.now, session_id, token.hex(), csrf, LASTS_S * 1000, IDLE_S * 1000, MOST_SESSIONS)
        return int(await self._partitions.run("open_session", self._partition, *arguments))

    async def use(self, session_id: str) -> KeptSession | None:
        """A session, which then lasts for another IDLE_S; None if there is none."""
        arguments = (self._clock.now, session_id, LASTS_S * 1000, IDLE_S * 1000)
        reply = await self._partitions.run("use_session", self._partition, *arguments)
        if not reply:
            return None
        return KeptSession(bytes.fromhex(reply[0].decode()), reply[1].decode(), int(reply[2]) / 1000)

    async def end(self, session_id: str) -> int:
        """End a session; 0 if there was none."""
        return int(await self._partitions.run("end_sessions", self._partition, session_id, ""))

    async def end_of(self, token: bytes) -> int:
        """End all sessions of a token; their number."""
        return int(await self._partitions.run("end_sessions", self._partition, "", token.hex()))

    async def list(self, n: int = MOST_SESSIONS) -> list[ListedSession]:
        """The sessions that last, the newest first."""
        rows = await self._partitions.run("sessions", self._partition, n)
        return [
            ListedSession(id_.decode(), bytes.fromhex(token.decode()), rfc3339(int(began)), rfc3339(int(used)))
            for id_, token, began, used in rows
        ]
