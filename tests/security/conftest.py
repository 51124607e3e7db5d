"""A broker with a file of tokens, one for each scope, and some for a few groups only."""

from pathlib import Path
from typing import Any

import pytest

from broker.auth.grants import Access
from broker.auth.token_file import SCOPES, Scope, add_token, new_token
from tests.api.client import Http, Reply
from tests.api.conftest import backend, http, logs, notifier, reaper, snapshot

__all__ = ["backend", "http", "logs", "notifier", "reaper", "snapshot"]


class Tokens:
    """A file of tokens, and the tokens themselves by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_name: dict[str, str] = {}

    def add(self, name: str, *scopes: Scope, groups: str = "*") -> str:
        """A new token in the file."""
        secret, token = new_token(scopes, groups.split(","), name)
        add_token(self.path, token)
        self.by_name[name] = secret
        return secret

    def headers(self, name: str) -> dict[str, str]:
        """What a request has that shows this token; '' for none."""
        return {"Authorization": f"Bearer {self.by_name[name]}"} if name else {}


class Caller:
    """A client that shows one token."""

    def __init__(self, http: Http, headers: dict[str, str]) -> None:
        self._http = http
        self._headers = headers

    async def __call__(self, method: str, path: str, body: Any = None, /, **headers: str) -> Reply:
        """Send a request with the token."""
        return await self._http(method, path, body, **self._headers, **headers)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """A token of every scope for all groups, named as the scope."""
    made = Tokens(tmp_path / "tokens.toml")
    for scope in SCOPES:
        made.add(scope, scope)
    return made


@pytest.fixture
def access(tokens: Tokens) -> Access:
    """The broker lets nobody in without a token."""
    return Access(tokens.path)
