"""Notifies the service manager with the datagrams of systemd (sd_notify)."""

import asyncio
import logging
import socket

from worker.settings import Supervisor

_log = logging.getLogger(__name__)


class Notify:
    """Notifies the service manager, if there is one. A failed notification is ignored."""

    def __init__(self, supervisor: Supervisor | None) -> None:
        self._supervisor = supervisor

    def tell(self, *words: str) -> None:
        """Send words like READY=1 or STOPPING=1."""
        if self._supervisor is None:
            return
        address = self._supervisor.address
        name = "\0" + address[1:] if address.startswith("@") else address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(0)
                channel.sendto("\n".join(words).encode(), name)
        except OSError as error:
            _log.debug("the service manager was not notified: %s", error)

    async def watchdog(self) -> None:
        """Notify the watchdog twice in its interval, until cancelled: the event loop is running."""
        if self._supervisor is None or not self._supervisor.watchdog_s:
            return
        while True:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._supervisor.watchdog_s / 2)
