"""Who is logged in. The cookie is a random word; the store has its SHA-256, and any broker of the store knows it.

What a session may do is what its token may do now: each request asks the tokens that the broker has read. So a token
that is taken from the file ends its sessions at the next SIGHUP.
"""

import asyncio
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Iterable
from typing import NamedTuple

from broker.auth.grants import Access, Grant
from broker.core.errors import CrossSite, TitanError
from broker.core.events import event
from broker.core.words import counted
from broker.store.sessions import KeptSession, StoredSessions

COOKIE = "titan_session"
CACHED_S = 30.0
"""How long a broker trusts what it read of a session, s."""
CSRF = "Titan-Csrf"
"""The header Titan-CSRF, as a fast request has its name."""
_RANDOM_BYTES = 32
_MOST_CACHED = 1000
_COOKIE = re.compile(rf"(?:^|;)[ \t]*{COOKIE}=([A-Za-z0-9_-]{{43}})[ \t]*(?=;|$)", re.ASCII)

_log = logging.getLogger(__name__)


class Session(NamedTuple):
    """The session of one request: its id, what its token may do, and the word that its changes must send."""

    id: str
    token: bytes
    csrf: str
    grant: Grant

    def check_csrf(self, sent: str | None) -> None:
        """Raise CrossSite unless the header Titan-CSRF has the word of the session."""
        if not secrets.compare_digest((sent or "").encode(), self.csrf.encode()):
            raise CrossSite("A change in a session needs the header Titan-CSRF, with the csrf of ui/session.")


class Sessions:
    """The sessions as one broker sees them. Methods that are awaited may raise StoreUnavailable."""

    def __init__(self, stored: StoredSessions, access: Access) -> None:
        self._stored = stored
        self._access = access
        self._cached: dict[str, tuple[float, KeptSession]] = {}
        self._n_ended = 0
        self._ending: set[asyncio.Task[None]] = set()
        access.on_removal(self._end_of)

    async def of(self, cookies: str | None) -> Session | None:
        """The session of a Cookie header; None if there is none, or it has ended."""
        found = _COOKIE.search(cookies) if cookies else None
        if found is None:
            return None
        session_id = _id_of(found[1])
        kept = await self._kept(session_id)
        grant = self._access.grant_of(kept.token) if kept is not None else None
        return Session(session_id, kept.token, kept.csrf, grant) if kept is not None and grant is not None else None

    async def open(self, token: bytes) -> str:
        """Open a session of a token; the value of its cookie."""
        word = secrets.token_urlsafe(_RANDOM_BYTES)
        await self._stored.open(_id_of(word), token, secrets.token_urlsafe(_RANDOM_BYTES))
        return word

    async def end(self, session_id: str) -> bool:
        """End a session: here at once, at other brokers within CACHED_S. Returns whether there was one."""
        self._cached.pop(session_id, None)
        try:
            return await self._stored.end(session_id) > 0
        finally:
            self._n_ended += 1
            self._cached.pop(session_id, None)  # another request may have read it before it ended

    async def settle(self) -> None:
        """Wait until the sessions of removed tokens have ended."""
        await asyncio.gather(*self._ending)

    async def _kept(self, session_id: str) -> KeptSession | None:
        now = time.monotonic()
        until, kept = self._cached.get(session_id, (0.0, None))
        if kept is not None and now < until:
            return kept
        n_ended = self._n_ended
        kept = await self._stored.use(session_id)
        self._cached.pop(session_id, None)
        if kept is not None and n_ended == self._n_ended:
            if len(self._cached) >= _MOST_CACHED:
                del self._cached[next(iter(self._cached))]
            self._cached[session_id] = now + min(CACHED_S, kept.left_s), kept
        return kept

    def _end_of(self, tokens: Iterable[bytes]) -> None:
        """End the sessions of tokens that were removed from the file."""
        task = asyncio.get_running_loop().create_task(self._end_all(list(tokens)))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end_all(self, tokens: list[bytes]) -> None:
        ended = 0
        try:
            for token in tokens:
                ended += await self._stored.end_of(token)
        except TitanError as fault:  # this broker refuses them in any case, and others after their own SIGHUP
            _log.warning("sessions of removed tokens are still in the store: %s", fault.message)
        if ended:
            _log.info("%s of removed tokens ended", counted(ended, "session"), extra=event("session.ended", n=ended))


def _id_of(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
