"""The options with which redis-cli reaches a store: as a command line to print, and as a process to start.

The printed line has neither user nor password. A process gets the password in its environment and never as an argument,
because every user of the machine can see the arguments of a process.
"""

import shlex
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from broker.resp.discovery import find
from broker.resp.url import StoreAddress

_TLS_FILES = {
    "ssl_ca_certs": "--cacert",
    "ssl_ca_path": "--cacertdir",
    "ssl_certfile": "--cert",
    "ssl_keyfile": "--key",
}
"""Options of a rediss:// address, and the same options of redis-cli."""


class RedisCli(NamedTuple):
    """The options of redis-cli, without the name of the program, and the variables to add to its environment."""

    options: tuple[str, ...]
    environment: dict[str, str]


async def redis_cli_for(address: StoreAddress, partition: str, timeout_s: float) -> RedisCli:
    """The options for the server of a partition. Sentinels and cluster nodes are asked for its address.

    Raises redis-py's ConnectionError when none of them replies.
    """
    found = await find(address, partition, timeout_s)
    return redis_cli_of(address.url, found, is_cluster=address.kind == "cluster")


def redis_cli_of(url: str, found: tuple[str, int] | None = None, *, is_cluster: bool = False) -> RedisCli:
    """The options for the server at a redis://, rediss:// or unix:// URL; `found` replaces its host and port."""
    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    server = ["-h", found[0], "-p", str(found[1])] if found else _server(parts)
    user = unquote(parts.username or options.get("username", ""))
    password = unquote(parts.password or "") or options.get("password", "")
    login = ["--user", user] if user else []
    words = [*(["-c"] if is_cluster else []), *server, *_database(parts, options), *login, *_tls(parts, options)]
    return RedisCli(tuple(words), {"REDISCLI_AUTH": password} if password else {})


def redis_cli(address: StoreAddress) -> str:
    """The command line, to which more words may be added. It asks a sentinel for the primary each time it is run."""
    parts = urlsplit(address.url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    tls = _tls(parts, options)
    if address.kind == "sentinel":
        host, port = address.seeds[0]
        login = ["--askpass"] if "password" in dict(address.seed_options) else []
        ask = ["redis-cli", "-h", host, "-p", str(port), *tls[:1], *login, "SENTINEL", "GET-MASTER-ADDR-BY-NAME"]
        server = f"$({shlex.join([*ask, address.service])} | xargs printf '-h %s -p %s')"
        return " ".join(
            filter(None, ("redis-cli", server, shlex.join([*_database(parts, options), *tls, *_login(parts)])))
        )
    words = ["redis-cli", *(["-c"] if address.kind == "cluster" else []), *_server(parts)]
    return shlex.join([*words, *_database(parts, options), *tls, *_login(parts)])


def _server(parts: SplitResult) -> list[str]:
    if parts.scheme == "unix":
        return ["-s", unquote(parts.path)]
    return ["-h", unquote(parts.hostname or "localhost"), "-p", str(parts.port or 6379)]


def _database(parts: SplitResult, options: dict[str, str]) -> list[str]:
    path = "" if parts.scheme == "unix" else unquote(parts.path).replace("/", "")
    number = options.get("db", path)
    return ["-n", number] if number.isdigit() and int(number) else []


def _tls(parts: SplitResult, options: dict[str, str]) -> list[str]:
    if parts.scheme != "rediss":
        return []
    words = ["--tls"]
    if options.get("ssl_cert_reqs", "").lower() in {"none", "cert_none", "optional"}:
        words.append("--insecure")
    for name, option in _TLS_FILES.items():
        words += [option, options[name]] if options.get(name) else []
    return words


def _login(parts: SplitResult) -> list[str]:
    """The login options, if the address has a login. The person types the password, and replaces USER."""
    user = ["--user", "USER"] if parts.username else []
    return [*user, "--askpass"] if parts.password or parts.username else []
