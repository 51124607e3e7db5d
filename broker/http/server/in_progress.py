"""The requests in progress, so that a stop can wait for them.

aiohttp's own clean-up drops what still arrives of a body; so it must not begin before they are done.
"""

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from broker.core.words import counted

_log = logging.getLogger(__name__)


class InProgress:
    """Counts. While it is stopping, no connection is kept."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.count = 0
        self._changed = asyncio.Event()

    def ended(self) -> None:
        """One request less."""
        self.count -= 1
        if self.is_stopping:
            self._changed.set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count one request of aiohttp's; while stopping, its connection is not kept."""
        self.count += 1
        try:
            response = await handler(request)
        finally:
            self.ended()
        if self.is_stopping:
            response.force_close()
        return response

    async def none(self, limit_s: float) -> None:
        """Wait until there are none, for `limit_s` at most."""
        self.is_stopping = True
        try:
            async with asyncio.timeout(limit_s):
                while self.count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _log.warning("%s broken off after more than %g s", counted(self.count, "request"), limit_s)
