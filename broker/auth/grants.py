"""Checks the token of each request, its scopes and its groups, before any other work for the request.

Without a token file every client may do everything. So a broker without one listens on this machine only.
"""

import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from broker.auth.token_file import EVERY_GROUP, SCOPES, Scope, Token, digest, read_tokens
from broker.core import timestamps
from broker.core.errors import Forbidden, Unauthorized
from broker.core.settings import BrokerSettings

LOCAL = frozenset({"localhost", "ip6-localhost", "ip6-loopback"})


class Exposed(ValueError):
    """The broker has no token file, and would listen on an address that other machines reach."""


class Grant:
    """The permissions of one request: the scopes and the groups of its token. `expires_s`: since 1970; 0 for never."""

    __slots__ = ("_is_in_reach", "expires_s", "groups", "is_limited", "name", "scopes")

    def __init__(self, scopes: Sequence[str], groups: Sequence[str], name: str, expires_s: float = 0.0) -> None:
        self.scopes = frozenset(SCOPES if "admin" in scopes else scopes)
        self.groups = tuple(groups)
        self.name = name
        self.expires_s = expires_s
        self.is_limited = EVERY_GROUP not in groups
        patterns = "|".join(re.escape(group).replace(r"\*", "[A-Za-z0-9_-]*") for group in groups)
        self._is_in_reach = re.compile(patterns, re.ASCII).fullmatch

    def reaches(self, group: str) -> bool:
        """Whether the token is for this group."""
        return not self.is_limited or self._is_in_reach(group) is not None

    def check(self, group: str) -> None:
        """Raise Forbidden for a group that the token is not for, whether the group exists or not."""
        if self.is_limited and self._is_in_reach(group) is None:
            raise Forbidden("The token is not for this group.")

    def check_scope(self, scope: Scope, group: str = "") -> None:
        """Raise Forbidden without the scope, or for a group that the token is not for."""
        if scope not in self.scopes:
            raise Forbidden(f"The token does not have the scope {scope}.")
        if group:
            self.check(group)

    def check_same(self, before: "Grant") -> None:
        """Raise Forbidden if the rights are not those that the client of a stream had before."""
        if (self.scopes, frozenset(self.groups)) != (before.scopes, frozenset(before.groups)):
            raise Forbidden("The rights of the token have changed; connect again.")

    def check_all(self) -> None:
        """Raise Forbidden unless the token is for every group. For requests that concern no single group."""
        if self.is_limited:
            raise Forbidden("This takes a token for all groups.")

    def narrowed(self, groups: Sequence[str]) -> Sequence[str]:
        """The groups of a request with a token. A request that names none means all groups of its token.

        Raises Forbidden for a group that the token is not for, and for a request without groups if a group of the token
        is a pattern.
        """
        if not self.is_limited:
            return groups
        for group in groups:
            self.check(group)
        if not groups and any("*" in pattern for pattern in self.groups):
            raise Forbidden(f"Say which groups with ?group=: the token is for {', '.join(self.groups)}.")
        return groups or self.groups


EVERYTHING = Grant(SCOPES, (EVERY_GROUP,), "")
"""The permissions of a request that needs no token."""


class Access:
    """The tokens that the broker accepts. `path` None: no token is needed. Raises TokensUnreadable."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.is_open = path is None
        self._tokens: list[tuple[bytes, Grant]] = []
        self._seen: dict[bytes, Grant] = {}
        self._on_removal: list[Callable[[Collection[bytes]], None]] = []
        self.reload()

    def on_removal(self, call: Callable[[Collection[bytes]], None]) -> None:
        """Call this with the digests of tokens that a reload no longer finds in the file."""
        self._on_removal.append(call)

    def reload(self) -> int:
        """Read the file again; the number of its tokens. Raises TokensUnreadable; then the old tokens stay valid."""
        if self._path is not None:
            before = {digest_ for digest_, _ in self._tokens}
            self._tokens = [(bytes.fromhex(token.sha256), _granted(token)) for token in read_tokens(self._path)]
            self._seen = {}
            removed = before.difference(digest_ for digest_, _ in self._tokens)
            for call in self._on_removal if removed else ():
                call(removed)
        return len(self._tokens)

    @property
    def grants(self) -> list[Grant]:
        """The permissions of each token of the file."""
        return [grant for _, grant in self._tokens]

    def admit(self, authorization: str | None, scope: Scope | None, group: str = "") -> Grant:
        """The permissions of a request with this Authorization header, for a route with this scope and a group or none.

        A route with scope None needs no token. Raises Unauthorized without a known token, and Forbidden for a token
        without the scope or the group.
        """
        if self.is_open or scope is None:
            return EVERYTHING
        grant = self._bearer(authorization, scope)
        grant.check_scope(scope, group)
        return grant

    def grant_of(self, given: bytes) -> Grant | None:
        """The permissions of the token with this digest; None if it is not in the file, or has expired."""
        try:
            return self._known(given)
        except Unauthorized:
            return None

    def _bearer(self, authorization: str | None, scope: Scope) -> Grant:
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthorized(f"A token is needed, with the scope {scope}: Authorization: Bearer TOKEN.")
        return self._known(digest(secret.strip()))

    def _known(self, given: bytes) -> Grant:
        grant = self._seen.get(given)  # by the digest, so that timing reveals nothing about a token
        if grant is None:
            grant = self._seen[given] = self._compared(given)
        if grant.expires_s and time.time() >= grant.expires_s:
            raise Unauthorized("The token has expired.")
        return grant

    def _compared(self, given: bytes) -> Grant:
        """The grant of a digest. Compares all tokens even after a match, so that the time is always the same."""
        found: Grant | None = None
        for kept, grant in self._tokens:
            if hmac.compare_digest(kept, given):
                found = grant
        if found is None:
            raise Unauthorized("The token is not known.")
        return found


def access_of(settings: BrokerSettings) -> Access:
    """The tokens of the settings. Raises TokensUnreadable, and Exposed for an address that other machines reach."""
    access = Access(Path(settings.tokens) if settings.tokens else None)
    if access.is_open and not (settings.insecure or is_local(settings.host)):
        raise Exposed(
            f"Every program that reaches {settings.host or 'any address'} could do everything: give --tokens FILE "
            "(titan token new makes one), listen on 127.0.0.1, or give --insecure if a proxy before the broker checks "
            "passwords."
        )
    return access


def is_local(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only. Host names other than LOCAL are not."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOCAL


def _granted(token: Token) -> Grant:
    expires_s = timestamps.milliseconds(token.expires) / 1000 if token.expires else 0.0
    return Grant(token.scopes, token.groups, token.name, expires_s)
