"""Refuses requests that pages of other sites make. Any page that a person visits can send requests to this machine.

There are two checks. First, a route that changes something refuses the requests of pages of other sites: the browser
names the page's site in Sec-Fetch-Site and Origin. Second, a broker on loopback that needs no token accepts only its
own names in Host. Another site may resolve its name to 127.0.0.1 (DNS rebinding). The browser then takes its page for
the same site, but Host has the name of the other site. Programs other than browsers send neither Sec-Fetch-Site nor
Origin, and their Host is the address that they use.
"""

import ipaddress
import re
from functools import partial
from typing import NamedTuple

from broker.auth.grants import Access, is_local
from broker.core.errors import CrossSite, Misdirected
from broker.core.settings import BrokerSettings
from broker.http.forwarded import TrustedProxies
from broker.http.request.body import Request, Streamed, header_values
from broker.http.server.aiohttp_private import target_authority
from broker.http.server.fast_request import FastRequest

OWN_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names that a broker on loopback always accepts."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,255})(?::([0-9]{0,5}))?", re.ASCII)
_ORIGIN = re.compile(rf"(https?)://({_HOST.pattern})", re.ASCII)
_OWN_SITES = frozenset({"same-origin", "none"})
"""Accepted values of Sec-Fetch-Site: the page is of this host and port, or a person typed the address."""
_MAX_ACCEPTED = 1000
"""How many Host headers are remembered as accepted. Usually they are few, but a client may invent ports."""


class Address(NamedTuple):
    """The name of a host in canonical form, and its port if one is given."""

    name: str
    port: int | None


def address_of(text: str) -> Address | None:
    """The address in a Host header, or in the setting allowed_host. None if it is not valid."""
    found = _HOST.fullmatch(text.strip().lower())
    if found is None:
        return None
    host, port = found.groups()
    name = _ip_address(host.strip("[]")) if host[0] == "[" else host.removesuffix(".")
    return Address(name, int(port) if port else None) if name else None


def allowed_names(settings: BrokerSettings) -> frozenset[str]:
    """The names in the setting allowed_host, without their ports. Raises ValueError."""
    names = set()
    for text in settings.allowed_host:
        address = address_of(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
        if address is None:
            raise ValueError(f"--allowed-host {text!r} is not the name of a host, such as titan.example.org.")
        names.add(address.name)
    return frozenset(names)


class Browsers:
    """The checks for the settings of a broker. Raises ValueError for an invalid allowed_host."""

    def __init__(self, settings: BrokerSettings, access: Access, proxies: TrustedProxies) -> None:
        self._proxies = proxies
        self._allowed = allowed_names(settings)
        self._is_tls = bool(settings.tls_cert)
        self._own: frozenset[str] | None = None
        if access.is_open and is_local(settings.host):
            self._own = self._allowed.union(
                OWN_NAMES, [_ip_address(settings.host.strip("[]")) or settings.host.lower()]
            )
        self._accepted: set[str] = set()

    def check_host(self, request: Request) -> None:
        """Raise Misdirected if the broker accepts only some names, and the request has another.

        A request without a name is accepted: HTTP/1.0 allows it, and no browser sends one.
        """
        if self._own is None or (isinstance(request, FastRequest) and request.headers["Host"] in self._accepted):
            return
        for host in _hosts(request):
            address = address_of(host)
            if address is None or address.name not in self._own:
                raise Misdirected(
                    f"This broker asks for no token and answers only to {', '.join(sorted(self._own))}; "
                    "start it with --allowed-host NAME for another name of it."
                )
            if len(self._accepted) < _MAX_ACCEPTED:
                self._accepted.add(host)

    def check_page(self, request: Request, peer: str) -> None:
        """Raise CrossSite if a browser sends the request for a page of another host or port; `peer` sent it to us."""
        if any(site.strip().lower() not in _OWN_SITES for site in header_values(request, "Sec-Fetch-Site")):
            raise CrossSite
        origins = header_values(request, "Origin")
        scheme = self._proxies.scheme_of(partial(header_values, request), peer) if origins else None
        if origins and not (len(origins) == 1 and self._is_ours(origins[0], request.headers.get("Host", ""), scheme)):
            raise CrossSite("A page of another origin may not do this; --allowed-host NAME allows those of a proxy.")

    def _is_ours(self, origin: str, host: str, of_client: str | None) -> bool:
        """Whether a page is of this broker. `of_client` is the scheme that a trusted proxy names."""
        found = _ORIGIN.fullmatch(origin.strip().lower())
        if found is None:  # null, several origins, or another scheme
            return False
        scheme, (page, own) = found[1], (address_of(found[2]), address_of(host))
        if page is None or scheme not in self._schemes(of_client):
            return False
        if page.name in self._allowed:
            return True
        default = _DEFAULT_PORTS[scheme]
        return own is not None and page.name == own.name and (page.port or default) == (own.port or default)

    def _schemes(self, of_client: str | None) -> tuple[str, ...]:
        """The schemes of own pages. Without TLS, and without the word of a trusted proxy, TLS may end before us."""
        if of_client is not None:
            return (of_client,)
        return ("https",) if self._is_tls else ("http", "https")


def _ip_address(text: str) -> str:
    """An IP address in canonical form; '' if it is not one."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _hosts(request: Request) -> list[str]:
    """Every host that a request names: in Host, and in the request line if that has a whole URL."""
    hosts = header_values(request, "Host")
    authority = target_authority(request.web) if isinstance(request, Streamed) else None
    if authority is not None:
        hosts.append(authority)
    return hosts
