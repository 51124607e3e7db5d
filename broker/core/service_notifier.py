"""Notifies the service manager with the datagrams of systemd (sd_notify)."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from broker.core.settings_schema import NotifySocket

_log = logging.getLogger(__name__)


class ServiceNotifier:
    """Notifies the service manager, if there is one. A failed notification is ignored."""

    def __init__(self, notify_socket: NotifySocket | None = None) -> None:
        self._notify_socket = notify_socket

    def notify(self, *words: str) -> None:
        """Send words like READY=1 or STOPPING=1."""
        if self._notify_socket is None:
            return
        address = self._notify_socket.address
        name = "\0" + address[1:] if address.startswith("@") else address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(0)
                channel.sendto("\n".join(words).encode(), name)
        except OSError as error:
            _log.debug("the service manager was not notified: %s", error)

    @asynccontextmanager
    async def serving(self, url: str) -> AsyncIterator[None]:
        """Notify that a broker is ready and at which address, and its watchdog as long as the block lasts."""
        self.notify("READY=1", f"STATUS=Serves on {url}")
        watchdog = asyncio.create_task(self.watchdog())
        try:
            yield
        finally:
            watchdog.cancel()
            with suppress(asyncio.CancelledError):
                await watchdog

    def stopping(self) -> None:
        """Notify that a broker accepts nothing new, and will end."""
        self.notify("STOPPING=1", "STATUS=Finishes the requests in progress")

    async def watchdog(self) -> None:
        """Notify the watchdog twice in its interval, until cancelled: the event loop is running."""
        if self._notify_socket is None or not self._notify_socket.watchdog_s:
            return
        while True:
            self.notify("WATCHDOG=1")
            await asyncio.sleep(self._notify_socket.watchdog_s / 2)


SILENT = ServiceNotifier()
"""Notifies nobody."""
