"""The redis-cli command line that looks into a store, fit for a shell. No user and no password stand in it."""

import shlex
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from broker.addresses import StoreAddress

_TLS_FILES = {
    "ssl_ca_certs": "--cacert",
    "ssl_ca_path": "--cacertdir",
    "ssl_certfile": "--cert",
    "ssl_keyfile": "--key",
}
"""Options of a rediss:// address that redis-cli has too."""


def redis_cli(address: StoreAddress) -> str:
    """The command line; more words may follow it. A primary that moves is asked for each time that it is run."""
    parts = urlsplit(address.url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    tls = _tls(parts, options)
    if address.kind == "sentinel":
        host, port = address.seeds[0]
        login = ["--askpass"] if "password" in dict(address.seed_options) else []
        ask = ["redis-cli", "-h", host, "-p", str(port), *tls[:1], *login, "SENTINEL", "GET-MASTER-ADDR-BY-NAME"]
        place = f"$({shlex.join([*ask, address.service])} | xargs printf '-h %s -p %s')"
        return " ".join(
            filter(None, ("redis-cli", place, shlex.join([*_database(parts, options), *tls, *_login(parts)])))
        )
    words = ["redis-cli", *(["-c"] if address.kind == "cluster" else []), *_place(parts)]
    return shlex.join([*words, *_database(parts, options), *tls, *_login(parts)])


def _place(parts: SplitResult) -> list[str]:
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
    """How to log in where the address does: with a password that is typed, and a user that is put in for USER."""
    user = ["--user", "USER"] if parts.username else []
    return [*user, "--askpass"] if parts.password or parts.username else []
