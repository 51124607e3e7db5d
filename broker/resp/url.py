"""Parses --redis-url: one server, several servers, sentinels, or nodes of a cluster.

redis://, rediss://, unix://                                    one server
redis://one:6379/0,redis://two:6379/0                           several: partition i is on server i mod 2
redis+sentinel://sentinel-1:26379,sentinel-2:26379/mymaster/0   the primary, as named by the sentinels
redis+cluster://node-1:6379,node-2:6379                         for each partition the node that has its slot
"""

import re
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

_NEXT = re.compile(r"[,\s]+(?=[a-z]+(?:\+[a-z]+)?://)")
_PORTS = {"sentinel": 26379, "cluster": 6379}
_HOSTS = re.compile(r"(?<=://)[^/?#]*")
_SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")


class StoreAddress(NamedTuple):
    """One address. `url` is redis://, rediss:// or unix:// with the options for the server, wherever that is found.

    `seeds` are the sentinels or nodes to ask for it. `service` is the sentinels' name of the primary. `seed_options`
    are the login at the sentinels, as arguments of redis-py.
    """

    kind: Literal["server", "sentinel", "cluster"]
    url: str
    seeds: tuple[tuple[str, int], ...] = ()
    service: str = ""
    seed_options: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> str:
        """The address without passwords, for messages."""
        if self.kind == "server":
            return without_password(self.url)
        seeds = ",".join(map(_host_and_port, self.seeds))
        return f"redis+{self.kind}://{seeds}{'/' + self.service if self.service else ''}"


def addresses(text: str) -> list[StoreAddress]:
    """The addresses in a text, in order. Raises ValueError."""
    found = [_address(url) for url in _NEXT.split(text.strip())]
    if len(found) > 1 and any(one.kind == "cluster" for one in found):
        raise ValueError("a cluster is one address: name its nodes with commas between them")
    return found


def without_password(url: str) -> str:
    """One or several addresses of a store without passwords, for messages."""
    parts = [_split(one) for one in _NEXT.split(url.strip()) if one]
    return ",".join(f"{part.scheme}://{hosts.rpartition('@')[2]}{part.path}" for hosts, part in parts)


def _address(url: str) -> StoreAddress:
    scheme, _, rest = url.partition("://")
    scheme, _, kind = scheme.partition("+")
    if not kind:
        return StoreAddress("server", url)
    if kind not in _PORTS or scheme not in {"redis", "rediss"}:
        raise ValueError(f"{scheme}+{kind}:// is not a scheme")
    login_and_hosts, parts = _split(f"{scheme}://{rest}")
    user, _, hosts = login_and_hosts.rpartition("@")
    seeds = tuple(_seed(host, _PORTS[kind]) for host in hosts.split(","))
    options = dict(parse_qsl(parts.query))
    seed_options = {name.removeprefix("sentinel_"): options.pop(name) for name in _SENTINEL_LOGIN if name in options}
    login = f"{user}@" if user else ""
    query = f"?{urlencode(options)}" if options else ""
    service, _, db = parts.path.strip("/").partition("/")
    if kind == "sentinel":
        if not service:
            raise ValueError("the name of the primary is missing, as in redis+sentinel://host:26379/mymaster")
        server = f"{scheme}://{login}{_host_and_port(seeds[0])}/{db or 0}{query}"
        return StoreAddress("sentinel", server, seeds, service, tuple(seed_options.items()))
    if service not in {"", "0"}:
        raise ValueError("a cluster has no databases")
    return StoreAddress("cluster", f"{scheme}://{login}{_host_and_port(seeds[0])}/0{query}", seeds)


def _split(url: str) -> tuple[str, SplitResult]:
    """The login and hosts as written, and the rest parsed: urlsplit refuses several hosts if one is in brackets."""
    found = _HOSTS.search(url)
    return found.group() if found else "", urlsplit(_HOSTS.sub("", url, count=1))


def _host_and_port(seed: tuple[str, int]) -> str:
    host, port = seed
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _seed(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is not a host")
    return parts.hostname, parts.port or port
