"""Keeps pages of other sites away: any page that a person visits can have their browser send requests to this machine.

Two checks. A route that changes something refuses what a browser sends for a page of another site: it says so itself,
in Sec-Fetch-Site and Origin. And a broker on loopback that asks for no token answers only to its own names: a site may
have its name lead to 127.0.0.1 (DNS rebinding), and its page then is of the same site to the browser, but the Host is
the site's. Programs that are no browser send neither Sec-Fetch-Site nor Origin, and a Host as in the address they use.
"""

import ipaddress
import re
from typing import NamedTuple

from broker.auth.grants import Access, is_local
from broker.core.errors import CrossSite, Misdirected
from broker.core.settings import BrokerSettings
from broker.http.request.body import Request, Streamed
from broker.http.server.fast_request import FastRequest

OWN_NAMES = ("localhost", "127.0.0.1", "::1")
"""What a broker on loopback is always called."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLACE = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,255})(?::([0-9]{0,5}))?", re.ASCII)
_ORIGIN = re.compile(rf"(https?)://({_PLACE.pattern})", re.ASCII)
_OWN_SITES = frozenset({"same-origin", "none"})
"""Of Sec-Fetch-Site: the page is of this host and port; or a person typed the address."""
_KNOWN = 1000
"""Host headers that are remembered as right; there are a few, but a client may make up ports."""


class Place(NamedTuple):
    """A host, in the form that compares, and its port where one is given."""

    name: str
    port: int | None


def place_of(text: str) -> Place | None:
    """What a Host header, or the setting allowed_host, names; None for what is no host."""
    found = _PLACE.fullmatch(text.strip().lower())
    if found is None:
        return None
    host, port = found.groups()
    name = _address(host.strip("[]")) if host[0] == "[" else host.removesuffix(".")
    return Place(name, int(port) if port else None) if name else None


def allowed_names(settings: BrokerSettings) -> frozenset[str]:
    """The names of the setting allowed_host; their ports do not count. Raises ValueError."""
    names = set()
    for text in settings.allowed_host:
        place = place_of(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
        if place is None:
            raise ValueError(f"--allowed-host {text!r} is not the name of a host, such as titan.example.org.")
        names.add(place.name)
    return frozenset(names)


class Browsers:
    """The checks, as a broker's settings have them. Raises ValueError for an allowed_host that is none."""

    def __init__(self, settings: BrokerSettings, access: Access) -> None:
        self._allowed = allowed_names(settings)
        self._is_tls = bool(settings.tls_cert)
        self._own: frozenset[str] | None = None
        if access.is_open and is_local(settings.host):
            self._own = self._allowed.union(OWN_NAMES, [_address(settings.host.strip("[]")) or settings.host.lower()])
        self._right_hosts: set[str] = set()

    def check_host(self, request: Request) -> None:
        """Raise Misdirected where the broker answers to some names only, and a request has another.

        A request without any is let in, as HTTP/1.0 may leave it out: no browser does.
        """
        if self._own is None or (isinstance(request, FastRequest) and request.headers["Host"] in self._right_hosts):
            return
        for host in _hosts(request):
            place = place_of(host)
            if place is None or place.name not in self._own:
                raise Misdirected(
                    f"This broker asks for no token and answers only to {', '.join(sorted(self._own))}; "
                    "start it with --allowed-host NAME for another name of it."
                )
            if len(self._right_hosts) < _KNOWN:
                self._right_hosts.add(host)

    def check_page(self, request: Request) -> None:
        """Raise CrossSite for what a browser sends for a page that is not of this host and port."""
        if any(site.strip().lower() not in _OWN_SITES for site in _all(request, "Sec-Fetch-Site")):
            raise CrossSite
        origins = _all(request, "Origin")
        if origins and not (len(origins) == 1 and self._is_ours(origins[0], request.headers.get("Host", ""))):
            raise CrossSite("A page of another origin may not do this; --allowed-host NAME allows those of a proxy.")

    def _is_ours(self, origin: str, host: str) -> bool:
        found = _ORIGIN.fullmatch(origin.strip().lower())
        if found is None:  # null, several, or of another scheme
            return False
        scheme, (page, here) = found[1], (place_of(found[2]), place_of(host))
        if page is None or (self._is_tls and scheme != "https"):
            return False
        if page.name in self._allowed:
            return True
        default = _DEFAULT_PORTS[scheme]
        return here is not None and page.name == here.name and (page.port or default) == (here.port or default)


def _address(text: str) -> str:
    """An address in its one form; '' for what is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _hosts(request: Request) -> list[str]:
    """Every host that a request names; one with the whole address in its first line has another there."""
    hosts = _all(request, "Host")
    if isinstance(request, Streamed) and request.web._message.url.absolute:  # noqa: SLF001 - request.url has Host in it
        hosts.append(request.web._message.url.authority)  # noqa: SLF001
    return hosts


def _all(request: Request, name: str) -> list[str]:
    """All headers of a name; a plain request has one at most."""
    if isinstance(request, Streamed):
        return request.web.headers.getall(name, [])
    return [request.headers[name]] if name in request.headers else []
