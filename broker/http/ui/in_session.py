"""Answers a request to the API that comes with a session in place of a token: checked, and its answer masked."""

from collections.abc import Callable, Mapping

from aiohttp import web

from broker.core.errors import Forbidden, Invalid
from broker.http.audited import audited
from broker.http.request.body import Request
from broker.http.request.context import AppContext, Call
from broker.http.request.query_params import Query, parse
from broker.http.responses import Response
from broker.http.routes import Route
from broker.http.ui.dashboard import without_reveal
from broker.http.ui.sessions import Session
from broker.store.audit import Act

_UNMASKED = frozenset({"openapi"})
"""Verbs whose answers have words of the API alone."""


async def answer_in_session(
    context: AppContext,
    route: Route,
    request: Request,
    path: Mapping[str, str],
    session: Session,
    client_of: Callable[[], str],
    request_id: str = "",
) -> Response | web.StreamResponse:
    """Answer for a session, whose secrets are masked unless `reveal=1` is given by an admin.

    `client_of` gives the client's address, for the audit.

    Raises CrossSite, Forbidden, and whatever the handler raises.
    """
    group = path.get("group_name", "")
    session.grant.check_scope(route.scope or "admin", group)
    if route.is_changing:
        context.dashboard.check_change(request, session)
    request, is_revealed = without_reveal(request)
    if is_revealed:
        _check_reveal(route, session)
        ids = (path["id"],) if "id" in path else ()
        context.audit.note(Act("reveal", session.grant.name, client_of(), group, ids), request_id)
    if route.query is Query and request.query_string and route.is_strict:
        parse(Query, request.query_string)  # no handler of these routes reads the query
    masking = None if is_revealed or route.verb in _UNMASKED else context.dashboard.masking
    call = Call(context, request, path, session.grant, masking)
    response = await (audited(route, call, client_of, request_id) if route.act else route.handler(call))
    if masking is None or not isinstance(response, Response):
        return response
    return await context.dashboard.masked(response)


def _check_reveal(route: Route, session: Session) -> None:
    if route.is_changing:
        raise Invalid("reveal is for requests that only read.", fields="reveal")
    if "admin" not in session.grant.scopes:
        raise Forbidden("To reveal what is masked takes a token with the scope admin.")
