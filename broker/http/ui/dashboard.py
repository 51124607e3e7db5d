"""What the dashboard is at one broker: its mode, its sessions, what they may do and see, and where it is reached."""

import asyncio
from functools import partial

from broker.auth.grants import Access
from broker.core.errors import Forbidden
from broker.core.settings import BrokerSettings
from broker.http.forwarded import TrustedProxies
from broker.http.request.body import Request, Streamed, header_values
from broker.http.responses import Response
from broker.http.server.fast_request import FastRequest
from broker.http.ui.attempts import Attempts
from broker.http.ui.base_path import base_path_of, outer_path
from broker.http.ui.masking import Masking
from broker.http.ui.sessions import CSRF, Session, Sessions
from broker.store.sessions import StoredSessions

_IN_THREAD_BYTES = 256 * 1024
_REVEAL = frozenset({"reveal=1"})


class Dashboard:
    """The parts that requests of pages share. Raises ValueError for an invalid base_path."""

    def __init__(
        self, settings: BrokerSettings, access: Access, proxies: TrustedProxies, stored: StoredSessions
    ) -> None:
        self.mode = settings.ui
        self.base_path = base_path_of(settings.base_path)
        self.sessions = Sessions(stored, access)
        self.attempts = Attempts()
        self.masking = Masking(settings.redact)
        self.is_open = access.is_open
        self._proxies = proxies
        self._is_tls = bool(settings.tls_cert)

    async def session_of(self, request: Request) -> Session | None:
        """The session of a request with a Cookie. A request with a token of its own has none."""
        if self.mode == "off" or self.is_open or "Authorization" in request.headers:
            return None
        return await self.sessions.of(request.headers.get("Cookie"))

    def check_change(self, request: Request, session: Session | None) -> None:
        """Check a request that changes something: of a session, or of a browser at a broker that needs no token.

        Raises CrossSite without the csrf of the session, and Forbidden where pages only read.
        """
        if session is not None:
            session.check_csrf(request.headers.get(CSRF))
        if self.mode == "read" and (session is not None or (self.is_open and "Authorization" not in request.headers)):
            raise Forbidden("The pages of this broker only read: it runs with --ui read.")

    def path_of(self, request: Request, path: str, peer: str) -> str:
        """The path under which the browser reaches the broker, '' for the root; `peer` sent us the request."""
        prefix = self._proxies.prefix_of(partial(header_values, request), peer)
        return outer_path(self.base_path, prefix, path)

    def is_secure(self, request: Request, peer: str) -> bool:
        """Whether the browser uses https."""
        return self._is_tls or self._proxies.scheme_of(partial(header_values, request), peer) == "https"

    async def masked(self, response: Response) -> Response:
        """The answer of the API with its secrets masked; a large one is masked in a thread."""
        if not response.body or ("Content-Type", "application/json") not in response.headers:
            return response
        if len(response.body) > _IN_THREAD_BYTES:
            body = await asyncio.get_running_loop().run_in_executor(None, self.masking.json, response.body)
        else:
            body = self.masking.json(response.body)
        return Response(response.status, body, response.headers, response.unsent)


def without_reveal(request: Request) -> tuple[Request, bool]:
    """The request without `reveal=1` in its query, and whether it had it."""
    words = request.query_string.split("&")
    if _REVEAL.isdisjoint(words):
        return request, False
    query = "&".join(word for word in words if word not in _REVEAL)
    if isinstance(request, FastRequest):
        return (
            FastRequest(request.method, request.path, query, request.headers, request.body, request.is_of_browser),
            True,
        )
    revealed = Streamed(request.web)
    revealed.query_string = query
    return revealed, True
