"""The handlers of the pages: enter, page, asset, and of sessions: log_in, log_out, session, list_sessions, end_session.

The shell of the pages has no state of the broker. The pages ask for it by the API, as any other client.
"""

from collections.abc import Sequence
from html import escape

from msgspec import UNSET, Struct, UnsetType

from broker.auth.token_file import EVERY_GROUP, SCOPES, digest
from broker.core.errors import NotFound, Unauthorized
from broker.http.openapi import document
from broker.http.request.body import FORM, header_values, read_body
from broker.http.request.context import Call
from broker.http.request.decoding import encode, form
from broker.http.responses import Headers, Response
from broker.http.ui.assets import assets
from broker.http.ui.headers import FOREVER, GUARDS, NOT_KEPT, PAGE
from broker.http.ui.sessions import COOKIE, CSRF, Session
from broker.store.audit import Act
from broker.store.sessions import LASTS_S

_JSON: Headers = (("Content-Type", "application/json"), *NOT_KEPT)


class LogIn(Struct, frozen=True):
    """The form of log_in."""

    token: str = ""


class Visit(Struct, frozen=True):
    """Who looks at the pages, and what they may do."""

    scopes: Sequence[str]
    groups: Sequence[str]
    ui: str
    is_open: bool = False
    name: str | UnsetType = UNSET
    csrf: str | UnsetType = UNSET


class SessionRow(Struct, frozen=True):
    """One session in the list: the name of its token, its times, and whether it is that of the request."""

    id: str
    name: str
    began_at: str
    used_at: str
    is_own: bool


class SessionRows(Struct, frozen=True):
    """The body of list_sessions."""

    sessions: list[SessionRow]


async def enter(call: Call) -> Response:
    """Send a browser to the pages."""
    last = call.web.path.rpartition("/")[2]
    is_inside = last == "ui"
    return Response(303, b"", (("Location", "ui/" if not last or is_inside else f"{last}/ui/"), *NOT_KEPT))


async def page(call: Call) -> Response:
    """Return the shell of the pages: one document, whose script draws the page of the address."""
    found = assets()
    base = call.context.dashboard.path_of(call.request, call.web.path, call.peer) + "/"
    version = str(document()["info"]["version"])
    shell = found.shell.replace("{{base}}", escape(base)).replace("{{version}}", escape(version))
    return Response(200, shell.replace("{{static}}", f"ui/static/{found.version}/").encode(), PAGE)


async def asset(call: Call) -> Response:
    """Return a file of the pages. Under the present hash it never changes; under another one it is not kept."""
    found = assets()
    file = found.files.get(call.web.match_info["path"])
    if file is None:
        raise NotFound("There is nothing at this path.")
    is_present = call.web.match_info["version"] == found.version
    headers = (("Content-Type", file.content_type), *GUARDS, FOREVER if is_present else NOT_KEPT[-1])
    headers += (("Vary", "Accept-Encoding"),)
    if file.gzipped and "gzip" in call.request.headers.get("Accept-Encoding", ""):
        return Response(200, file.gzipped, (*headers, ("Content-Encoding", "gzip")))
    return Response(200, file.content, headers)


async def log_in(call: Call) -> Response:
    """Open a session with a token, and send the browser to the pages."""
    dashboard, address = call.context.dashboard, _client(call)
    if dashboard.is_open:
        return Response(303, b"", (("Location", "./"), *NOT_KEPT))
    dashboard.attempts.check(address)
    given = digest(form(LogIn, await read_body(call.request, call.settings, (FORM,))).token.strip())
    dashboard.attempts.check(address)  # again: others may have come while the body did
    grant = call.context.access.grant_of(given)
    if grant is None:
        dashboard.attempts.wrong(address)
        call.context.audit.note(Act("login_failed", "", address, outcome=Unauthorized.word.lower()))
        raise Unauthorized("The token is not known.")
    before = await dashboard.sessions.of(call.request.headers.get("Cookie"))
    cookie = await dashboard.sessions.open(given)
    if before is not None:
        await dashboard.sessions.end(before.id)
    dashboard.attempts.right(address)
    call.context.audit.note(Act("login", grant.name, address))
    return Response(303, b"", (("Location", "./"), *NOT_KEPT, _cookie(call, cookie, LASTS_S)))


async def log_out(call: Call) -> Response:
    """End the session of the request."""
    session = await call.context.dashboard.sessions.of(call.request.headers.get("Cookie"))
    if session is not None:
        session.check_csrf(call.request.headers.get(CSRF))
        await call.context.dashboard.sessions.end(session.id)
        call.context.audit.note(Act("logout", session.grant.name, _client(call)))
    return Response(303, b"", (("Location", "login"), *NOT_KEPT, _cookie(call, "", 0)))


async def session(call: Call) -> Response:
    """Say who looks at the pages, what they may do, and the csrf that their changes must send."""
    dashboard = call.context.dashboard
    if dashboard.is_open:
        visit = Visit(SCOPES, [EVERY_GROUP], dashboard.mode, is_open=True)
    else:
        found = await _session(call)
        scopes = [scope for scope in SCOPES if scope in found.grant.scopes]
        name = found.grant.name or f"token {found.token.hex()[:8]}"
        visit = Visit(scopes, found.grant.groups, dashboard.mode, name=name, csrf=found.csrf)
    return Response(200, encode(visit), _JSON)


async def list_sessions(call: Call) -> Response:
    """List the sessions: all for an admin, else those of the own token."""
    own = await _session(call)
    sees_all = "admin" in own.grant.scopes and not own.grant.is_limited
    rows = []
    for one in await call.store.sessions.list():
        grant = call.context.access.grant_of(one.token)
        if grant is not None and (sees_all or one.token == own.token):
            name = grant.name or f"token {one.token.hex()[:8]}"
            rows.append(SessionRow(one.id, name, one.began_at, one.used_at, one.id == own.id))
    return Response(200, encode(SessionRows(rows)), _JSON)


async def end_session(call: Call) -> Response:
    """End a session of anybody; an admin may."""
    own = await _session(call)
    call.context.dashboard.check_change(call.request, own)
    own.grant.check_scope("admin")
    own.grant.check_all()
    if not await call.context.dashboard.sessions.end(call.web.match_info["session"]):
        raise NotFound("There is no such session, or it has ended.")
    call.context.audit.note(Act("end_session", own.grant.name, _client(call)))
    return Response(204, b"", NOT_KEPT)


async def _session(call: Call) -> Session:
    found = await call.context.dashboard.sessions.of(call.request.headers.get("Cookie"))
    if found is None:
        raise Unauthorized("Log in with a token: the session has ended, or there is none.")
    return found


def _client(call: Call) -> str:
    return call.context.proxies.client_of(lambda name: header_values(call.request, name), call.peer)


def _cookie(call: Call, value: str, lasts_s: int) -> tuple[str, str]:
    """The Set-Cookie header. Scripts cannot read the cookie, and pages of other sites do not send it."""
    dashboard = call.context.dashboard
    path = dashboard.path_of(call.request, call.web.path, call.peer) or "/"
    secure = "; Secure" if dashboard.is_secure(call.request, call.peer) else ""
    return "Set-Cookie", f"{COOKIE}={value}; Path={path}; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}"
