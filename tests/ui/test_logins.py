"""Sessions: who gets one, what it may do, what its requests must send, and when it is over."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from broker.auth.grants import Access
from broker.core.errors import StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER, Broker, make_app
from broker.http.server.runner import BrokerRunner
from broker.http.ui import sessions as cached
from broker.logs.storage import Logs
from broker.resp import keys
from broker.resp.notifier import Notifier
from tests.api.client import NO_JOB, Http
from tests.api.test_audit import entries
from tests.security.conftest import Tokens
from tests.stores import Store
from tests.ui.conftest import LogIn, Person, cookie_of, send_token, set_to


@pytest.fixture
async def second(
    store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings, reaper: Any, tokens: Tokens
) -> AsyncIterator[Http]:
    """Another broker on the same store, with the same file."""
    app = make_app(Broker(store, logs, notifier, settings, reaper, Access(tokens.path)))
    runner = BrokerRunner(app, settings, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Http(session, runner)
    await runner.cleanup()


async def test_log_in_sets_a_cookie(http: Http, tokens: Tokens) -> None:
    """The cookie is not for scripts nor other sites, lasts 12 h, and is not secure over plain HTTP."""
    reply = await send_token(http, tokens.by_name["admin"])
    assert reply.status == 303
    attributes = reply.headers["Set-Cookie"].partition("; ")[2]
    assert attributes == "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"


@set_to(trust_proxy=("127.0.0.1",), base_path="/t")
async def test_cookie_behind_a_proxy_with_tls(http: Http, tokens: Tokens) -> None:
    """Behind a trusted proxy that has https the cookie is secure, and it is for the base path only."""
    reply = await send_token(http, tokens.by_name["admin"], X_Forwarded_Proto="https")
    assert reply.headers["Set-Cookie"].endswith("; Path=/t; Max-Age=43200; HttpOnly; SameSite=Strict; Secure")


async def test_session_says_who_is_there(log_in: LogIn, http: Http) -> None:
    """The page learns the name of the token, its scopes and groups, and the csrf; without a session it is a 401."""
    person = await log_in("read")
    visit = (await person.ask("GET", "/ui/session")).json
    assert (visit["name"], visit["scopes"], visit["groups"], visit["ui"]) == ("read", ["read"], ["*"], "full")
    assert len(visit["csrf"]) == 43
    assert (await http("GET", "/ui/session")).status == 401


async def test_session_may_do_what_its_token_may(log_in: LogIn, http: Http, tokens: Tokens) -> None:
    """A session has the scopes and groups of its token, on both ways through the front end."""
    tokens.add("mail", "read", "produce", groups="mail-*")
    http.runner.app[DISPATCHER].context.access.reload()
    person = await log_in("mail")
    for way in ({}, {"Connection": "close"}):
        assert (await person.ask("GET", "/v1/groups/mail-1/jobs", **way)).status == 200
        other = await person.ask("GET", "/v1/groups/other/jobs", **way)
        assert (other.status, other.problem.code) == (403, "forbidden")
        admin = await person.change("PUT", "/v1/groups/mail-1", {"group": {"paused": True}}, **way)
        assert (admin.status, "the scope admin" in admin.problem.message) == (403, True)
    assert (await person.change("POST", "/v1/groups/mail-1/jobs", {"jobs": [{"image": "x"}]})).status == 201


@pytest.mark.parametrize("csrf", [None, "", "wrong", "é"])
async def test_change_without_csrf(log_in: LogIn, csrf: str | None, snapshot: Any) -> None:
    """A request of a session that changes something needs the csrf of that session; GET /v1/jobs takes jobs too."""
    person, other = await log_in("admin"), await log_in("admin")
    await person.change("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "x"}]})
    await person.ask("GET", "/v1/groups")
    before = await snapshot()
    sent = {"Titan-CSRF": csrf.encode().decode("latin-1")} if csrf is not None else {}
    for method, path in (
        ("POST", f"/v1/groups/g/jobs/{NO_JOB}/cancel"), ("GET", "/v1/jobs"), ("PUT", "/v1/groups/g"),
        ("DELETE", "/ui/sessions/x"), ("POST", "/ui/logout"),
    ):  # fmt: skip
        for headers in (sent, {"Titan-CSRF": other.csrf}):
            reply = await person.ask(method, path, **headers)
            assert (reply.status, reply.problem.code) == (403, "cross_site"), path
            assert "Titan-CSRF" in reply.problem.message
    assert await snapshot() == before


async def test_page_of_another_site_with_the_cookie(log_in: LogIn) -> None:
    """Even with cookie and csrf a request for a page of another site changes nothing."""
    person = await log_in("admin")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        reply = await person.change("POST", f"/v1/groups/g/jobs/{NO_JOB}/cancel", **headers)
        assert (reply.status, reply.problem.code) == (403, "cross_site")
        assert (await person.change("POST", "/ui/logout", **headers)).status == 403
        login = await send_token(person.http, "x", **headers)
        assert (login.status, login.problem.code) == (403, "cross_site")


async def test_token_beside_a_cookie(log_in: LogIn, tokens: Tokens) -> None:
    """A request with a token of its own is that of the token, whatever its cookie, and needs no csrf."""
    person = await log_in("read")
    reply = await person.ask("PUT", "/v1/groups/g", {"group": {}}, **tokens.headers("admin"))
    assert reply.status == 200


async def test_wrong_tokens_are_limited(http: Http, tokens: Tokens) -> None:
    """Five wrong tokens are refused with 401, the sixth within a minute with 429, and so is a right one then."""
    assert [(await send_token(http, f"titan_{n}")).status for n in range(5)] == [401] * 5
    for token in ("titan_6", tokens.by_name["admin"]):
        reply = await send_token(http, token)
        assert (reply.status, reply.problem.code) == (429, "limit_reached")
        assert 50 <= int(reply.headers["Retry-After"]) <= 61
        assert "Set-Cookie" not in reply.headers


async def test_wrong_tokens_at_once_are_limited(http: Http) -> None:
    """Of tokens whose requests all began before the first was refused, five are tried as well."""
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\nExpect: 100-continue\r\n"
    head = f"POST /ui/login HTTP/1.1\r\nHost: localhost\r\n{form}\r\n".encode()
    async with AsyncExitStack() as lines:
        opened = [await lines.enter_async_context(http.line(head)) for _ in range(8)]
        for reader, _ in opened:
            assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        statuses = []
        for reader, writer in opened:
            writer.write(b"token=x")
            statuses.append((await reader.readuntil(b"\r\n"))[9:12])
    assert statuses == [b"401"] * 5 + [b"429"] * 3


@set_to(trust_proxy=("127.0.0.1",))
async def test_wrong_tokens_of_one_client_of_a_proxy(http: Http, tokens: Tokens) -> None:
    """Behind a trusted proxy each client has its own attempts."""
    for n in range(6):
        await send_token(http, f"titan_{n}", X_Forwarded_For="192.0.2.1")
    right = tokens.by_name["read"]
    assert (await send_token(http, right, X_Forwarded_For="192.0.2.1")).status == 429
    assert (await send_token(http, right, X_Forwarded_For="192.0.2.2")).status == 303


@pytest.mark.parametrize("body", ["", "token=", "token=a&token=b", "other=1", "token=%ff", '{"token":"x"}'])
async def test_form_that_is_none(http: Http, body: str) -> None:
    """A form without one token is a refusal, never a fault."""
    assert (await http.form("/ui/login", body)).status in {400, 401}


async def test_log_out(log_in: LogIn, second: Http) -> None:
    """After a logout the cookie is worth nothing here, and at another broker that had not seen it."""
    person = await log_in("admin")
    reply = await person.change("POST", "/ui/logout")
    assert (reply.status, reply.headers["Location"]) == (303, "login")
    assert cookie_of(reply) == ""
    assert "Max-Age=0" in reply.headers["Set-Cookie"]
    for http in (person.http, second):
        assert (await Person(http, person.cookie).ask("GET", "/v1/groups")).status == 401
    assert (await person.change("POST", "/ui/logout")).status == 303


async def test_log_out_beside_a_request(log_in: LogIn, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that reads the session just before it ends does not keep it known: the next one is refused."""
    person, end = await log_in("admin"), store.sessions.end
    statuses = []

    async def end_after_a_request(session_id: str) -> int:
        statuses.append((await person.ask("GET", "/v1/groups")).status)
        return await end(session_id)

    monkeypatch.setattr(store.sessions, "end", end_after_a_request)
    await person.change("POST", "/ui/logout")
    statuses.append((await person.ask("GET", "/v1/groups")).status)
    assert statuses == [200, 401]


async def test_session_at_another_broker(log_in: LogIn, second: Http) -> None:
    """Any broker of the store knows a session, with its csrf."""
    person = await log_in("admin")
    there = Person(second, person.cookie)
    there.csrf = person.csrf
    assert (await there.ask("GET", "/v1/groups")).status == 200
    assert (await there.change("PUT", "/v1/groups/g", {"group": {}})).status == 200


async def test_log_in_again_ends_the_session_before(log_in: LogIn, tokens: Tokens) -> None:
    """A browser that logs in again has a new session, and its old cookie is worth nothing."""
    person = await log_in("admin")
    cookie = f"titan_session={person.cookie}"
    reply = await send_token(person.http, tokens.by_name["read"], Cookie=cookie)
    assert reply.status == 303
    assert cookie_of(reply) != person.cookie
    assert (await person.ask("GET", "/ui/session")).status == 401


async def test_session_that_expired(log_in: LogIn, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that the store no longer has is over when the broker looks again."""
    person = await log_in("admin")
    await store.redis.delete(*[key async for key in store.redis.scan_iter("*:session:*")])
    assert (await person.ask("GET", "/v1/groups")).status == 200
    monkeypatch.setattr(cached, "CACHED_S", 0.0)
    later = await log_in("admin")
    assert (await later.ask("GET", "/v1/groups")).status == 200
    await store.redis.delete(*[key async for key in store.redis.scan_iter("*:session:*")])
    assert (await later.ask("GET", "/v1/groups")).status == 401


async def test_look_at_the_store_once_a_while(log_in: LogIn, store: Store) -> None:
    """Requests of a session within CACHED_S read the store's session once."""
    person = await log_in("admin")
    [key] = [key async for key in store.redis.scan_iter("*:session:*")]
    used_at = await store.redis.hget(key, "used_at")
    for _ in range(3):
        assert (await person.ask("GET", "/v1/groups")).status == 200
    assert await store.redis.hget(key, "used_at") == used_at


async def test_token_taken_from_the_file(log_in: LogIn, tokens: Tokens, second: Http, store: Store) -> None:
    """At the reload without a token its sessions end here at once, and in the store for every broker."""
    person, other = await log_in("admin"), await log_in("read")
    rows = tokens.path.read_text().split("\n\n")
    tokens.path.write_text("\n\n".join(row for row in rows if 'name = "admin"' not in row))
    dashboard = person.http.runner.app[DISPATCHER].context
    dashboard.access.reload()
    assert (await person.ask("GET", "/v1/groups")).status == 401
    assert (await person.ask("GET", "/ui/session")).status == 401
    await dashboard.dashboard.sessions.settle()
    assert len(await store.redis.zrange(keys.sessions(store.partitions[0]), 0, -1)) == 1
    assert (await Person(second, person.cookie).ask("GET", "/v1/groups")).status == 401
    assert (await Person(second, other.cookie).ask("GET", "/v1/groups")).status == 200


async def test_list_and_end_sessions(log_in: LogIn) -> None:
    """An admin sees all sessions and may end one; others see their own token's."""
    admin, reader = await log_in("admin"), await log_in("read")
    rows = (await admin.ask("GET", "/ui/sessions")).json["sessions"]
    assert sorted((row["name"], row["is_own"]) for row in rows) == [("admin", True), ("read", False)]
    assert admin.cookie not in str(rows)
    [own] = (await reader.ask("GET", "/ui/sessions")).json["sessions"]
    assert (own["name"], own["is_own"]) == ("read", True)
    assert (await reader.change("DELETE", f"/ui/sessions/{own['id']}")).status == 403
    assert (await admin.change("DELETE", f"/ui/sessions/{own['id']}")).status == 204
    assert (await reader.ask("GET", "/v1/groups")).status == 401
    assert (await admin.change("DELETE", f"/ui/sessions/{own['id']}")).status == 404


@set_to(ui="read")
async def test_session_that_only_reads(log_in: LogIn, tokens: Tokens) -> None:
    """With --ui read a session changes nothing, whatever its scopes; the token itself still may."""
    person = await log_in("admin")
    reply = await person.change("PUT", "/v1/groups/g", {"group": {}})
    assert (reply.status, "--ui read" in reply.problem.message) == (403, True)
    assert (await person.change("DELETE", "/ui/sessions/x")).status == 403
    assert (await person.ask("GET", "/v1/groups")).status == 200
    assert (await person.http("PUT", "/v1/groups/g", {"group": {}}, **tokens.headers("admin"))).status == 200
    assert (await person.change("POST", "/ui/logout")).status == 303


@pytest.mark.parametrize("cookie", ["x", "titan_session=", "titan_session=" + "A" * 44, "titan_session=é", ";;=;"])
async def test_cookie_that_is_none(http: Http, cookie: str) -> None:
    """A cookie that is no session is a 401, as without one."""
    reply = await http("GET", "/v1/groups", Cookie=cookie.encode().decode("latin-1"))
    assert (reply.status, reply.problem.code) == (401, "unauthorized")


async def test_health_with_a_cookie(log_in: LogIn) -> None:
    """Routes without a scope answer whatever the cookie."""
    person = await log_in("read")
    assert (await person.ask("GET", "/healthz")).status == 200


async def test_acts_are_noted(log_in: LogIn, http: Http, tokens: Tokens) -> None:
    """The audit has a login, a wrong token, a change and a logout, with the token's name and the address, no token."""
    person = await log_in("admin")
    await send_token(http, "titan_wrong")
    await person.change("PATCH", "/v1/groups/g", {"group": {"paused": True}})
    await person.change("POST", "/ui/logout")
    found = await entries(http, 4, **tokens.headers("admin"))
    assert [(entry["act"], entry.get("by"), entry["address"], entry["outcome"]) for entry in found] == [
        ("login", "admin", "127.0.0.1", "ok"),
        ("login_failed", None, "127.0.0.1", "unauthorized"),
        ("configure", "admin", "127.0.0.1", "ok"),
        ("logout", "admin", "127.0.0.1", "ok"),
    ]


async def test_store_away(log_in: LogIn, http: Http, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away the pages are there, and what needs a session is a 503."""

    async def away(_: str) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(cached, "CACHED_S", 0.0)
    person = await log_in("admin")
    monkeypatch.setattr(store.sessions, "use", away)
    assert (await http("GET", "/ui/")).status == 200
    for path in ("/ui/session", "/v1/groups"):
        assert (await person.ask("GET", path)).status == 503
