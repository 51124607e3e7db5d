"""Counts the wrong tokens of each address, and refuses an address that sent too many."""

import ipaddress
import time
from collections.abc import Callable

from broker.core.errors import LimitReached

MOST_WRONG, WINDOW_S = 5, 60.0
_MOST_ADDRESSES = 10_000


class Attempts:
    """The wrong tokens within the last minute. `now`: a clock, s. Each broker counts for itself."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wrong: dict[str, list[float]] = {}

    def check(self, address: str) -> None:
        """Raise LimitReached after MOST_WRONG wrong tokens from the address within WINDOW_S."""
        recent = self._recent(_network(address))
        if len(recent) >= MOST_WRONG:
            wait_s = max(1, round(recent[0] + WINDOW_S - self._now() + 0.5))
            raise LimitReached(
                f"Too many wrong tokens came from this address; try again in {wait_s} s.", retry_after_s=wait_s
            )

    def wrong(self, address: str) -> None:
        """Count a wrong token."""
        key = _network(address)
        recent = [*self._recent(key), self._now()]
        self._wrong.pop(key, None)
        if len(self._wrong) >= _MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]  # the one whose last wrong token was first
        self._wrong[key] = recent

    def right(self, address: str) -> None:
        """Forget the wrong tokens of an address."""
        self._wrong.pop(_network(address), None)

    def _recent(self, key: str) -> list[float]:
        since = self._now() - WINDOW_S
        return [at for at in self._wrong.get(key, ()) if at > since]


def _network(address: str) -> str:
    """The address; of IPv6 the first 64 bits, since one client has all addresses below them."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
