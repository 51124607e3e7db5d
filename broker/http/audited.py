"""Runs the handlers of routes that the audit has, and notes what came out."""

from collections.abc import Callable

from aiohttp import web

from broker.core.errors import TitanError
from broker.http.request.context import Call
from broker.http.responses import Response
from broker.http.route import Route
from broker.store.audit import Act


async def audited(
    route: Route, call: Call, client_of: Callable[[], str], request: str = ""
) -> Response | web.StreamResponse:
    """Run the handler, and note the act: who, where from, on what, and the code of the refusal, or ok.

    `client_of` gives the client's address, which a trusted proxy may have named; `request` is the id of the request.
    """
    name = call.job_id or call.worker or call.bulk or call.batch
    call.acted_on = Act(route.act, call.grant.name, "", call.group, (name,) if name else ())
    outcome = TitanError.word.lower()
    try:
        response = await route.handler(call)
        outcome = "ok"
    except TitanError as fault:
        outcome = fault.code
        raise
    finally:
        call.context.audit.note(call.acted_on._replace(address=client_of(), outcome=outcome), request)
    return response
