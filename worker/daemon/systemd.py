"""Notifies the service manager with the datagrams of systemd (sd_notify)."""

import asyncio
import logging
import socket

from worker.settings import NotifySocket

_log = logging.getLogger(__name__)


class ServiceNotifier:
    """Notifies the service manager, if there is one. A failed notification is ignored."""

    def __init__(self, notify_socket: NotifySocket | None) -> None:
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

    async def watchdog(self) -> None:
        """Notify the watchdog twice in its interval, until cancelled: the event loop is running."""
        if self._notify_socket is None or not self._notify_socket.watchdog_s:
            return
        while True:
            self.notify("WATCHDOG=1")
            await asyncio.sleep(self._notify_socket.watchdog_s / 2)
