"""What a service manager is told: systemd's datagrams (sd_notify), on the socket that it names."""

import asyncio
import logging
import socket

from worker.settings import Supervisor

_log = logging.getLogger(__name__)


class Notify:
    """Tells the service manager how the worker is; with none, nobody. What it does not take is passed over."""

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
            _log.debug("the service manager was not told: %s", error)

    async def watchdog(self) -> None:
        """Say for ever that the worker's loop turns, twice in the time that the service manager gives."""
        if self._supervisor is None or not self._supervisor.watchdog_s:
            return
        while True:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._supervisor.watchdog_s / 2)
