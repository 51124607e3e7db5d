"""Builds the front end: a route for each row of the table, fast requests without aiohttp, and an orderly stop."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from time import perf_counter

import msgspec
from aiohttp import web

from broker.core.errors import StoreUnavailable, TitanError, TooSlow
from broker.core.inline_task import in_task, run_inline
from broker.http.audited import audited
from broker.http.contract import Contract, contract_of
from broker.http.error_responses import STATUS, code_of, response_to, without_doc
from broker.http.request.body import REQUEST_ID, WEIGHT, Request, Streamed, header_values
from broker.http.request.context import AppContext, Broker, Call
from broker.http.request.query_params import Query, parse
from broker.http.request_log import RequestLog, Sender
from broker.http.responses import Headers, Response
from broker.http.route import ANY_JOB, Route
from broker.http.server.access_log import AccessLog
from broker.http.server.admission import SHED_FIRST, priority_of
from broker.http.server.fast_request import MAX_BODY_BYTES, FastRequest
from broker.http.server.fast_router import FastRoute
from broker.http.server.pending_response import PendingResponse
from broker.http.server.request_id import HEADER, request_id
from broker.http.spanned import OPERATIONS, spanned
from broker.http.ui.in_session import answer_in_session
from broker.http.view_answers import ViewAnswers
from broker.metrics.http_requests import GONE, NO_ROUTE, RequestCounts
from broker.metrics.refusals import RefusalCounts

Hook = Callable[[web.Application], Awaitable[None]]
OnPrepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
Found = tuple[FastRoute, FastRequest, Mapping[str, str], PendingResponse]
"""A fast request: its route, itself, the parameters of its path, and where its response goes."""
Respond = Callable[[FastRoute, FastRequest, Mapping[str, str], PendingResponse], Coroutine[None, None, Response]]

_PARAMETER = re.compile(r"\{(\w+)\}")
__all__ = ["DISPATCHER", "Broker", "RequestDispatcher", "make_app"]


class RequestDispatcher:
    """Answers requests: fast requests of a connection, and those that aiohttp has parsed."""

    def __init__(self, context: AppContext, contract: Contract) -> None:
        self.context = context
        self.most_body_bytes = min(MAX_BODY_BYTES, context.broker.settings.max_body_bytes)
        self.head_s = context.broker.settings.head_timeout_s
        self.routes = contract.routes
        self._has_pages = contract.has_pages
        self._refusal = contract.refusal
        self._find = contract.find
        self._answer = partial(_marked, self._respond, contract.headers) if contract.headers else self._respond
        self._marks = contract.headers
        self._priorities = [priority_of(route.verb) for route in self.routes]
        self._numbers: dict[object, int] = {}
        self._requests = RequestCounts([route.verb for route in self.routes])
        self._in_progress = context.in_progress
        self._admission = context.admission
        context.metrics.add(context.admission.families)
        context.metrics.add(self._requests.families)
        self._refusals = RefusalCounts()
        context.metrics.add(self._refusals.families)
        settings = context.broker.settings
        log = AccessLog(settings.access_log_rate) if settings.access_log else None
        self.access_log = None if log is None else RequestLog(log, self.routes, self._client_of)
        views = ViewAnswers(context)
        context.live.answer, context.live.check = views.answer, views.check
        context.events.check = views.check

    @property
    def is_stopping(self) -> bool:
        """Whether each connection closes after its next response."""
        return self._in_progress.is_stopping

    def refusal(self, error: TitanError) -> Response:
        """The response to input that is no request, or that nobody reads."""
        self._refusals.observe(error.code)
        return self._refusal(error)

    def start(self, request: FastRequest, pending: PendingResponse) -> bool:
        """Start to answer a fast request, or queue it. Returns False for a request that aiohttp must answer."""
        found = self._find(request.method, request.path)
        if found is None or found[0].route.is_streamed:
            return False
        route, path = found
        pending.route = route.number
        pending.request = request_id(request.headers.get(HEADER))
        if self.access_log is not None:
            pending.access = request
        self._in_progress.count += 1
        priority = self._priorities[route.number]
        weight = self._admission.weigh(priority, len(request.body))
        if self._admission.admit(priority, weight):
            self._start(route, request, path, pending, weight)
        else:
            start = partial(self._start, route, request, path, pending, weight)
            pending.attach(self._admission.enqueue(priority, weight, start, partial(self._refuse, request, pending)))
        return True

    def ended(self, pending: PendingResponse, status: int) -> None:
        """Count and time a fast request."""
        self._in_progress.ended()
        self._admission.leave(pending.weight)
        seconds = perf_counter() - pending.started
        self._requests.observe(pending.route, status, seconds)
        if pending.access is not None and self.access_log is not None:
            body = b"" if pending.response is None else pending.response.body
            self.access_log.note(
                pending.access, pending.access.method, pending, pending.route, status, seconds, len(body)
            )

    def handler(self, number: int, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The handler of a route for aiohttp's router."""

        async def handle(request: web.Request) -> web.StreamResponse:
            streamed = Streamed(request)
            response = await self._handle(route, streamed, request.match_info, streamed)
            return response if isinstance(response, web.StreamResponse) else await _sent(request, response)

        self._numbers[handle] = number
        return handle

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Admit, count and time a request of aiohttp, and turn its error into a response.

        A response that has begun cannot be replaced by an error. Its connection is cut, so that the client knows that
        the response is not complete.
        """
        started = perf_counter()
        number = self._numbers.get(request.match_info.handler, NO_ROUTE)
        priority = self._priorities[number] if number != NO_ROUTE else SHED_FIRST
        weight = self._admission.weigh(priority, request.content_length or 0)
        request[WEIGHT], is_begun = 0, False
        request[REQUEST_ID] = request_id(request.headers.get(HEADER))
        try:
            if not self._admission.admit(priority, weight):
                await self._admission.wait(priority, weight)
            request[WEIGHT], is_begun = weight, True
            if number == NO_ROUTE:
                self.context.browsers.check_host(Streamed(request))
            response = await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            self._observe(request, number, GONE, started, 0)
            raise
        except Exception as fault:  # a client gets nothing but the error body
            if is_begun:
                self._note(fault)
            streamed = Streamed(request)
            client_of = partial(self._client_of, streamed, streamed)
            response = response_of(self._refusal_of(fault, request.method, request.path, streamed.request, client_of))
            if request.writer.output_size > 0:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError from fault
        finally:
            self._admission.leave(request[WEIGHT])
        body = response.body if isinstance(response, web.Response) else None
        n_bytes = len(body) if isinstance(body, bytes) else response.body_length
        self._observe(request, number, response.status, started, n_bytes)
        return response

    def _observe(self, request: web.Request, number: int, status: int, started: float, n_bytes: int) -> None:
        """Count a request of aiohttp."""
        seconds = perf_counter() - started
        self._requests.observe(number, status, seconds)
        if self.access_log is not None:
            streamed = Streamed(request)
            self.access_log.note(streamed, request.method, streamed, number, status, seconds, n_bytes)

    def _start(
        self, route: FastRoute, request: FastRequest, path: Mapping[str, str], pending: PendingResponse, weight: int
    ) -> None:
        pending.weight = weight
        run = run_inline if route.route.is_quick else in_task
        pending.attach(run(self._answer(route, request, path, pending), pending.fill))

    async def _respond(
        self, route: FastRoute, request: FastRequest, path: Mapping[str, str], pending: PendingResponse
    ) -> Response:
        try:
            response = await self._handle(route.route, request, path, pending)
        except Exception as fault:  # noqa: BLE001 - a client gets nothing but the error body
            self._note(fault)
            client_of = partial(self._client_of, request, pending)
            return self._refusal_of(fault, request.method, request.path, pending.request, client_of)
        if not isinstance(response, Response):
            raise TypeError(f"{route.route.verb} is streamed")
        return response

    def _refuse(self, request: FastRequest, pending: PendingResponse, fault: TitanError) -> None:
        response = self._refusal_of(fault, request.method, request.path, pending.request, lambda: pending.peer)
        pending.fill(_with_headers(response, self._marks), None)

    def _refusal_of(
        self, fault: Exception, method: str, path: str, request: str, client_of: Callable[[], str]
    ) -> Response:
        """The response to a request that raised this; it names a page only if this broker has pages."""
        self._refusals.observe(code_of(fault))
        response = response_to(fault, method, path, client_of, request)
        return response if self._has_pages else without_doc(response)

    def _note(self, fault: Exception) -> None:
        """Refuse waiting requests sooner when the store is away. A log store that is away delays no other request."""
        if type(fault) is StoreUnavailable:
            self._admission.store_failed()

    def _client_of(self, request: Request, sender: Sender) -> str:
        return self.context.proxies.client_of(partial(header_values, request), sender.peer)

    async def _handle(
        self, route: Route, request: Request, path: Mapping[str, str], sender: Sender
    ) -> Response | web.StreamResponse:
        context = self.context
        context.browsers.check_host(request)
        if request.is_of_browser and route.is_changing:
            context.browsers.check_page(request, sender.peer)
            context.dashboard.check_change(request, None)
        if route.scope and "Cookie" in request.headers:
            session = await context.dashboard.session_of(request)
            if session is not None:
                sender.by = session.grant.name
                client_of = partial(self._client_of, request, sender)
                return await answer_in_session(context, route, request, path, session, client_of, sender.request)
        grant = context.access.admit(request.headers.get("Authorization"), route.scope, path.get("group_name", ""))
        sender.by = grant.name
        if route.query is Query and request.query_string and route.is_strict:
            parse(Query, request.query_string)  # no handler of these routes reads the query
        call = Call(context, request, path, grant)
        if context.spans is not None and route.verb in OPERATIONS:
            return await spanned(context.spans, route.verb, call, partial(route.handler, call))
        if route.act:
            return await audited(route, call, partial(self._client_of, request, sender), sender.request)
        return await route.handler(call)


DISPATCHER = web.AppKey("DISPATCHER", RequestDispatcher)


def make_app(broker: Broker) -> web.Application:
    """The application of a broker. Run it with `broker.http.server.runner.BrokerRunner`.

    Its `shutdown` ends the long polls. Its `cleanup` waits until undelivered jobs are requeued.
    """
    contract = contract_of(broker.settings)
    if broker.settings.dialect:
        broker = broker._replace(settings=msgspec.structs.replace(broker.settings, ui="off"))
    context = AppContext(broker, contract.document)
    dispatcher = RequestDispatcher(context, contract)
    app = web.Application(middlewares=[context.in_progress.middleware, dispatcher.middleware])
    app[DISPATCHER] = dispatcher
    for number, route in enumerate(dispatcher.routes):
        handler = dispatcher.handler(number, route)
        for path in _paths(route, context.dashboard.base_path):
            app.router.add_route(route.method, path, handler, expect_handler=_expect_later)
    app.on_response_prepare.append(_mark(contract.headers))
    app.on_shutdown.append(_stop_waiting(context))
    app.on_cleanup.append(_settle(context))
    if dispatcher.access_log is not None:
        app.on_cleanup.append(dispatcher.access_log.close)
    return app


def _paths(route: Route, base_path: str) -> list[str]:
    """The paths of a route as aiohttp has them: at the root, and below the base path if there is one."""
    form = "[0-9A-Za-z]{16}" if route.path == ANY_JOB else "[^/]+"
    path = _PARAMETER.sub(rf"{{\1:{form}}}", route.path)
    paths = [path, base_path + path] if base_path else [path]
    return [*paths, base_path] if base_path and path == "/" else paths


def response_of(response: Response) -> web.Response:
    """A response in the form that aiohttp sends."""
    sent = web.Response(status=response.status, body=response.body, headers=dict(response.headers))
    if response.status == STATUS[TooSlow]:
        sent.force_close()
    return sent


async def _marked(respond: Respond, headers: Headers, *request: *Found) -> Response:
    """The response with more headers."""
    return _with_headers(await respond(*request), headers)


def _with_headers(response: Response, headers: Headers) -> Response:
    return msgspec.structs.replace(response, headers=(*response.headers, *headers))


def _mark(headers: Headers) -> OnPrepare:
    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)
        response.headers[HEADER] = request.get(REQUEST_ID) or request_id(request.headers.get(HEADER))

    return mark


async def _sent(request: web.Request, response: Response) -> web.Response:
    """The response for aiohttp. One that must be undone when it cannot be written is written here."""
    sent = response_of(response)
    if response.unsent is None:
        return sent
    try:
        await sent.prepare(request)
        await sent.write_eof()
    except (ConnectionError, asyncio.CancelledError) as gone:
        response.unsent()
        if isinstance(gone, asyncio.CancelledError):
            raise
    return sent


async def _expect_later(_: web.Request) -> None:
    """Do not answer Expect: 100-continue yet. `broker.http.request.body.expect` does, when the body is read."""


def _stop_waiting(context: AppContext) -> Hook:
    async def stop(_: web.Application) -> None:
        context.polls.stop()
        context.broker.store.ends.stop()
        context.followers.stop()
        context.live.stop()
        context.events.stop()
        context.broker.store.workers.notices.stop()

    return stop


def _settle(context: AppContext) -> Hook:
    async def settle(_: web.Application) -> None:
        await context.broker.store.dispatcher.settle()
        await context.bulks.close()
        await context.audit.close()
        await context.dashboard.sessions.settle()
        await context.metrics.close()

    return settle
