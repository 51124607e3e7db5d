"""Finds the client of a request that came through proxies, by X-Forwarded-For, X-Forwarded-Proto and -Prefix.

Anybody can send these headers. They count only when the connection comes from a proxy of the setting trust_proxy, and
only as far as such proxies wrote them: each proxy adds the address of its own peer at the right end. A value that is
not an address ends the search. No value makes a request fail.
"""

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from broker.core.settings import BrokerSettings
from broker.http.ui.base_path import prefix_of

_MAX_HOPS = 32
"""How many addresses of X-Forwarded-For are read, from the right."""
_SCHEMES = frozenset({"http", "https"})

HeaderValues = Callable[[str], Sequence[str]]
"""Returns the values of a header of a request; a header may be repeated."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The proxies of the setting trust_proxy. Raises ValueError for an entry that is no address and no network."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._networks = tuple(map(_network, settings.trust_proxy))

    def client_of(self, headers: HeaderValues, peer: str) -> str:
        """The address of the client: the rightmost one that is not a trusted proxy; `peer` sent the request."""
        at = _address(peer)
        if not self._networks or at is None:
            return peer
        for hop in islice(_from_the_right(headers("X-Forwarded-For")), _MAX_HOPS):
            if not self._is_trusted(at):
                break
            if (before := _address(hop)) is None:
                break
            at = before
        return str(at)

    def scheme_of(self, headers: HeaderValues, peer: str) -> str | None:
        """The scheme, http or https, as the client used it, if a trusted proxy names it; else None."""
        if not self._networks or (at := _address(peer)) is None or not self._is_trusted(at):
            return None
        said = next(_from_the_right(headers("X-Forwarded-Proto")), "").lower()
        return said if said in _SCHEMES else None

    def prefix_of(self, headers: HeaderValues, peer: str) -> str | None:
        """The path that a trusted proxy took away from the request's, as it says in X-Forwarded-Prefix; else None."""
        if not self._networks or (at := _address(peer)) is None or not self._is_trusted(at):
            return None
        return prefix_of(next(_from_the_right(headers("X-Forwarded-Prefix")), ""))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _from_the_right(values: Sequence[str]) -> Iterator[str]:
    """The parts of a header that may be repeated, the last one first."""
    for value in reversed(values):
        rest = value
        while rest:
            rest, _, part = rest.rpartition(",")
            yield part.strip()


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"--trust-proxy {text!r} is not the address or the network of a proxy, such as 10.1.2.3 or 10.1.0.0/16."
        ) from None


def _address(text: str) -> Address | None:
    """The address of a peer or of a part of X-Forwarded-For, without port, brackets and zone; None if it is not one."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
