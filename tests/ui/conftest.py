"""A broker with a file of tokens, and people who log in to its dashboard."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from broker.auth.grants import Access
from broker.core.settings import BrokerSettings
from tests.api.client import Http, Reply
from tests.api.conftest import backend, http, logs, notifier, reaper, snapshot
from tests.security.conftest import Tokens, tokens

__all__ = ["backend", "http", "logs", "notifier", "reaper", "snapshot", "tokens"]


def set_to(**values: Any) -> pytest.MarkDecorator:
    """Run the test with these settings."""
    return pytest.mark.parametrize("values", [values])


@pytest.fixture
def values() -> dict[str, Any]:
    """Settings that differ from the default."""
    return {}


@pytest.fixture
def settings(settings: BrokerSettings, values: dict[str, Any]) -> BrokerSettings:
    """The settings of the broker. Each test has a prefix of its own, so no test meets what another one left."""
    return msgspec.structs.replace(settings, **values)


class Person:
    """Somebody who is logged in: a cookie, and the csrf that the page asked for."""

    def __init__(self, http: Http, cookie: str) -> None:
        self.http = http
        self.cookie = cookie
        self.csrf = ""

    @property
    def cookies(self) -> str:
        """The header Cookie."""
        return f"titan_session={self.cookie}"

    async def ask(self, method: str, path: str, body: Any = None, /, **headers: str) -> Reply:
        """Send a request with the cookie alone."""
        return await self.http(method, path, body, Cookie=self.cookies, **headers)

    async def change(self, method: str, path: str, body: Any = None, /, **headers: str) -> Reply:
        """Send a request as the pages do: with the cookie and the csrf."""
        return await self.ask(method, path, body, **{"Titan-CSRF": self.csrf, **headers})


async def send_token(http: Http, token: str, **headers: str) -> Reply:
    """Send the form of the login, and follow nothing."""
    return await http.form("/ui/login", f"token={token}", **headers)


def cookie_of(reply: Reply) -> str:
    """The value of the cookie that an answer sets."""
    found = re.match(r"titan_session=([A-Za-z0-9_-]*);", reply.headers["Set-Cookie"])
    assert found, reply
    return found[1]


@pytest.fixture
def access(tokens: Tokens) -> Access:
    """The broker lets nobody in without a token."""
    return Access(tokens.path)


@pytest.fixture
def log_in(http: Http, tokens: Tokens) -> Callable[[str], Awaitable[Person]]:
    """Logs somebody in with a token, by its name."""

    async def enter(name: str) -> Person:
        reply = await send_token(http, tokens.by_name[name])
        assert (reply.status, reply.headers["Location"]) == (303, "./"), reply
        person = Person(http, cookie_of(reply))
        person.csrf = (await person.ask("GET", "/ui/session")).json["csrf"]
        return person

    return enter


LogIn = Callable[[str], Awaitable[Person]]
