"""What a front end serves, chosen at the start: the rows, how they are found, the document, and the headers."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec

from broker.core.errors import TitanError
from broker.core.settings import BrokerSettings
from broker.http.dialect.routes import rows_of_2016
from broker.http.error_responses import refusal, without_doc
from broker.http.openapi import document
from broker.http.responses import Headers, Response
from broker.http.route import Route
from broker.http.routes import ROUTES
from broker.http.server.fast_router import FastRoute, FastRouter
from broker.http.ui.base_path import base_path_of
from broker.http.ui.routes import UI_ROUTES
from titan.dialect import DIALECT_HEADER

Find = Callable[[str, str], tuple[FastRoute, dict[str, str]] | None]


class Contract(NamedTuple):
    """The rows, of which `find` finds those of the API; the OpenAPI document; the headers that each answer has.

    The document is made when it is asked for, which takes 0.3 s: a broker that starts serves so much sooner.
    """

    routes: tuple[Route, ...]
    find: Find
    document: Callable[[], bytes]
    headers: Headers = ()
    has_pages: bool = True

    def refusal(self, error: TitanError) -> Response:
        """The response to input that is no request, or that nobody reads."""
        response = refusal(error) if self.has_pages else without_doc(refusal(error))
        return msgspec.structs.replace(response, headers=(*response.headers, *self.headers))


def contract_of(settings: BrokerSettings) -> Contract:
    """The contract that these settings ask for. A broker with a dialect has no dashboard."""
    base_path = base_path_of(settings.base_path)
    if not settings.dialect:
        routes = ROUTES if settings.ui == "off" else (*ROUTES, *UI_ROUTES)
        find = FastRouter(ROUTES, base_path).find
        return Contract(routes, find, _encoded(document), has_pages=settings.ui != "off")
    of_jobs, of_tasks = rows_of_2016(ROUTES)
    finds = FastRouter(of_jobs, base_path).find, FastRouter(of_tasks, base_path, len(of_jobs)).find
    return Contract(
        (*of_jobs, *of_tasks),
        lambda method, path: finds[0](method, path) or finds[1](method, path),
        _encoded(partial(_document, (*of_jobs, *of_tasks), settings.dialect)),
        ((DIALECT_HEADER, settings.dialect),),
        has_pages=False,
    )


def _encoded(make: Callable[[], dict[str, Any]]) -> Callable[[], bytes]:
    """Makes a document as JSON at the first call."""
    return cache(lambda: msgspec.json.encode(make()))


def _document(routes: tuple[Route, ...], dialect: str) -> dict[str, Any]:
    made = document(routes)
    text = f"A job broker that speaks the dialect of {dialect}: every answer has the header `{DIALECT_HEADER}`.\n\n"
    return {**made, "info": {**made["info"], "description": text + made["info"]["description"]}}
