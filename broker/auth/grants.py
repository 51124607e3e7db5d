"""Who may do what: one question, asked of each request before anything else is done for it.

Without a file of tokens everybody may do everything, which is why a broker then listens on this machine only.
"""

import hmac
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

from broker.auth.token_file import EVERY_GROUP, SCOPES, Scope, Token, digest, read_tokens
from broker.core.errors import Forbidden, Unauthorized
from broker.core.settings import BrokerSettings

LOCAL = frozenset({"localhost", "ip6-localhost", "ip6-loopback"})


class Exposed(ValueError):
    """The broker would let anybody in who reaches its address."""


class Grant:
    """What one request may do: its token's scopes, in its token's groups."""

    __slots__ = ("_is_in_reach", "groups", "is_limited", "name", "scopes")

    def __init__(self, scopes: Sequence[str], groups: Sequence[str], name: str) -> None:
        self.scopes = frozenset(SCOPES if "admin" in scopes else scopes)
        self.groups = tuple(groups)
        self.name = name
        self.is_limited = EVERY_GROUP not in groups
        patterns = "|".join(re.escape(group).replace(r"\*", "[A-Za-z0-9_-]*") for group in groups)
        self._is_in_reach = re.compile(patterns, re.ASCII).fullmatch

    def reaches(self, group: str) -> bool:
        """Whether the group is one of the token's."""
        return not self.is_limited or self._is_in_reach(group) is not None

    def check(self, group: str) -> None:
        """Raise Forbidden for a group out of reach, whether there is one of this name or not."""
        if self.is_limited and self._is_in_reach(group) is None:
            raise Forbidden("The token is not for this group.")

    def check_all(self) -> None:
        """Raise Forbidden unless the token is for every group: for what is of no group."""
        if self.is_limited:
            raise Forbidden("This takes a token for all groups.")

    def narrowed(self, groups: Sequence[str]) -> Sequence[str]:
        """The groups to take jobs from when these were asked for; none asked for means all of the token's.

        Raises Forbidden for one out of reach, and when the token's groups are patterns and none was asked for.
        """
        if not self.is_limited:
            return groups
        for group in groups:
            self.check(group)
        if not groups and any("*" in pattern for pattern in self.groups):
            raise Forbidden(f"Say which groups with ?group=: the token is for {', '.join(self.groups)}.")
        return groups or self.groups


EVERYTHING = Grant(SCOPES, (EVERY_GROUP,), "")
"""What a request may do where no token is asked for."""


class Access:
    """The tokens in force; none where `path` is None. Raises TokensUnreadable."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.is_open = path is None
        self._tokens: list[tuple[bytes, Grant]] = []
        self._seen: dict[bytes, Grant] = {}
        self.reload()

    def reload(self) -> int:
        """Read the file anew; how many tokens it has. Raises TokensUnreadable, and then those before stay in force."""
        if self._path is not None:
            self._tokens = [(bytes.fromhex(token.sha256), _granted(token)) for token in read_tokens(self._path)]
            self._seen = {}
        return len(self._tokens)

    def admit(self, authorization: str | None, scope: Scope | None, group: str = "") -> Grant:
        """What a request may do that has this Authorization and asks for this scope, in this group where it names one.

        A scope of None asks for nothing. Raises Unauthorized without a known token, Forbidden for one that does not
        have the scope or the group.
        """
        if self.is_open or scope is None:
            return EVERYTHING
        grant = self._grant_of(authorization, scope)
        if scope not in grant.scopes:
            raise Forbidden(f"The token does not have the scope {scope}.")
        if group:
            grant.check(group)
        return grant

    def _grant_of(self, authorization: str | None, scope: Scope) -> Grant:
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthorized(f"A token is needed, with the scope {scope}: Authorization: Bearer TOKEN.")
        given = digest(secret.strip())
        grant = self._seen.get(given)  # by the digest: what a client learns from the time is nothing about a token
        if grant is None:
            grant = self._seen[given] = self._compared(given)
        return grant

    def _compared(self, given: bytes) -> Grant:
        """Against all of them, however early one fits."""
        found: Grant | None = None
        for kept, grant in self._tokens:
            if hmac.compare_digest(kept, given):
                found = grant
        if found is None:
            raise Unauthorized("The token is not known.")
        return found


def access_of(settings: BrokerSettings) -> Access:
    """The tokens that the settings name. Raises TokensUnreadable, and Exposed for an address that is not guarded."""
    access = Access(Path(settings.tokens) if settings.tokens else None)
    if access.is_open and not (settings.insecure or is_local(settings.host)):
        raise Exposed(
            f"Whoever reaches {settings.host or 'any address'} could do everything: give --tokens FILE (titan "
            "token new makes one), listen on 127.0.0.1, or say --insecure when something before the broker asks for "
            "a password."
        )
    return access


def is_local(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone. A name beside localhost counts as not."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOCAL


def _granted(token: Token) -> Grant:
    return Grant(token.scopes, token.groups, token.name)
