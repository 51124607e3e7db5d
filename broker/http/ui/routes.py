"""The routes of the dashboard. They are no part of the API: the OpenAPI document does not have them."""

from broker.core.errors import LimitReached, NotFound, Unauthorized
from broker.http.request.body import FORM
from broker.http.routes import Route
from broker.http.ui import docs, handlers

_UI = "/ui"

UI_ROUTES: tuple[Route, ...] = (
    Route("GET", "/", handlers.enter, scope=None, status=303),
    Route("GET", _UI, handlers.enter, scope=None, status=303),
    Route(
        "POST",
        _UI + "/login",
        handlers.log_in,
        handlers.LogIn,
        None,
        303,
        (Unauthorized, LimitReached),
        types=(FORM,),
        scope=None,
    ),
    Route("POST", _UI + "/logout", handlers.log_out, scope=None, status=303),
    Route("GET", _UI + "/session", handlers.session, None, handlers.Visit, refuses=(Unauthorized,), scope=None),
    Route("GET", _UI + "/sessions", handlers.list_sessions, None, handlers.SessionRows, scope=None),
    Route("DELETE", _UI + "/sessions/{session}", handlers.end_session, None, None, 204, (NotFound,), scope=None),
    Route("GET", _UI + "/static/{version}/{path:.*}", handlers.asset, None, str, refuses=(NotFound,), scope=None),
    Route("GET", "/docs", docs.enter_docs, scope=None, status=303),
    Route("GET", "/docs/{page:.*}", docs.docs, None, str, scope=None),
    Route("GET", _UI + "/{page:.*}", handlers.page, None, str, scope=None),
)
