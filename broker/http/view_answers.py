"""Computes the answers of live views, with the handlers of their GETs, and checks who watches them."""

from broker.auth.grants import Grant
from broker.core.errors import Forbidden, NotFound
from broker.http.live import ViewPath
from broker.http.request.body import Request
from broker.http.request.context import AppContext, Call
from broker.http.request.query_params import Query, parse
from broker.http.responses import Response
from broker.http.routes import ROUTES
from broker.http.server.fast_request import FastRequest
from broker.http.server.fast_router import FastRouter

_SCOPES = {route.verb: route.scope for route in ROUTES}


class ViewAnswers:
    """The answers of the views of one front end."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._gets = [FastRouter([route]) for route in ROUTES if route.method == "GET" and not route.is_taking]

    async def answer(self, view: ViewPath, grant: Grant, *, is_masked: bool) -> bytes:
        """The body of the GET of a view, for a client that may watch views. Raises its refusal."""
        found = next(filter(None, (router.find("GET", view.path) for router in self._gets)), None)
        if found is None:
            raise NotFound("There is no such view.")
        (_, route, _), path = found
        if route.scope not in grant.scopes:
            raise Forbidden(f"The token does not have the scope {route.scope}.")
        if "group_name" in path:
            grant.check(path["group_name"])
        request = FastRequest("GET", view.path, view.query, {}, b"")
        if route.query is Query and view.query and route.is_strict:
            parse(Query, view.query)  # no handler of these routes reads the query
        response = await route.handler(Call(self._context, request, path, grant))
        if not isinstance(response, Response):
            raise TypeError(f"{route.verb} is streamed")
        return (await self._context.dashboard.masked(response)).body if is_masked else response.body

    async def check(self, request: Request, grant: Grant) -> None:
        """Raise Unauthorized or Forbidden for a client whose token or session has ended since it began to watch.

        Also if its rights are no longer those of `grant`, with which it began.
        """
        context, scope = self._context, _SCOPES["watch"]
        session = await context.dashboard.session_of(request) if "Cookie" in request.headers else None
        if session is None:
            context.access.admit(request.headers.get("Authorization"), scope, "").check_same(grant)
        else:
            session.grant.check_scope(scope or "admin")
            session.grant.check_same(grant)
