"""The front end put together: a route for each row, plain requests answered at the desk, and a quiet end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter

import msgspec
from aiohttp import web

from broker.core.errors import StoreUnavailable, TitanError, TooSlow
from broker.core.inline_task import in_task, run_inline
from broker.http.error_responses import STATUS, answer_to
from broker.http.openapi import document
from broker.http.request.body import WEIGHT, Request, Streamed
from broker.http.request.context import AppContext, Broker, Call
from broker.http.request.query_params import Query, parse
from broker.http.responses import Response
from broker.http.routes import ROUTES, Route
from broker.http.server.admission import FIRST, rank_of
from broker.http.server.fast_request import MAX_BODY_BYTES, FastRequest
from broker.http.server.fast_router import FastRoute, FastRouter
from broker.http.server.pending_response import PendingResponse
from broker.metrics.http_requests import GONE, NO_ROUTE, RequestCounts

Hook = Callable[[web.Application], Awaitable[None]]

__all__ = ["DISPATCHER", "Broker", "RequestDispatcher", "make_app"]


class RequestDispatcher:
    """Answers requests: plain ones of a connection, and those that aiohttp has read."""

    def __init__(self, front: AppContext) -> None:
        self.front = front
        self.most_body_bytes = min(MAX_BODY_BYTES, front.broker.settings.max_body_bytes)
        self.head_s = front.broker.settings.head_timeout_s
        self._paths = FastRouter(ROUTES)
        self._ranks = [rank_of(route.verb) for route in ROUTES]
        self._numbers: dict[object, int] = {}
        self._requests = RequestCounts([route.verb for route in ROUTES])
        self._in_progress = front.in_progress
        self._admission = front.admission
        front.metrics.add(front.admission.families)
        front.metrics.add(self._requests.families)

    @property
    def is_stopping(self) -> bool:
        """Whether no connection is kept any more."""
        return self._in_progress.is_stopping

    def begin(self, request: FastRequest, slot: PendingResponse) -> bool:
        """Begin to answer a plain request, or have it wait its turn; False for one that aiohttp must answer."""
        found = self._paths.find(request.method, request.path)
        if found is None or found[0].route.is_streamed:
            return False
        way, path = found
        slot.route = way.number
        self._in_progress.count += 1
        rank = self._ranks[way.number]
        weight = self._admission.weigh(rank, len(request.body))
        if self._admission.admit(rank, weight):
            self._begin(way, request, path, slot, weight)
        else:
            begin = partial(self._begin, way, request, path, slot, weight)
            slot.begin(self._admission.enqueue(rank, weight, begin, partial(_refuse, request, slot)))
        return True

    def ended(self, slot: PendingResponse, status: int) -> None:
        """Count and time a plain request."""
        self._in_progress.ended()
        self._admission.leave(slot.weight)
        self._requests.observe(slot.route, status, perf_counter() - slot.began)

    def handler(self, number: int, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The route for aiohttp's router."""

        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await self._handle(route, Streamed(request), request.match_info)
            return answer if isinstance(answer, web.StreamResponse) else await _sent(request, answer)

        self._numbers[handle] = number
        return handle

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let in, count, time, and answer what a request of aiohttp's ended in.

        An answer that has begun cannot be taken back: its connection is cut, so that the client does not take it for
        whole.
        """
        began = perf_counter()
        number = self._numbers.get(request.match_info.handler, NO_ROUTE)
        rank = self._ranks[number] if number != NO_ROUTE else FIRST
        weight = self._admission.weigh(rank, request.content_length or 0)
        request[WEIGHT], is_begun = 0, False
        try:
            if not self._admission.admit(rank, weight):
                await self._admission.turn(rank, weight)
            request[WEIGHT], is_begun = weight, True
            if number == NO_ROUTE:
                self.front.browsers.check_host(Streamed(request))
            response = await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            self._requests.observe(number, GONE, perf_counter() - began)
            raise
        except Exception as fault:  # nothing but the error body may reach a client
            if is_begun:
                self._note(fault)
            response = response_of(answer_to(fault, request.method, request.path))
            if request.writer.output_size > 0:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError from fault
        finally:
            self._admission.leave(request[WEIGHT])
        self._requests.observe(number, response.status, perf_counter() - began)
        return response

    def _begin(
        self, way: FastRoute, request: FastRequest, path: Mapping[str, str], slot: PendingResponse, weight: int
    ) -> None:
        slot.weight = weight
        begin = run_inline if way.route.is_quick else in_task
        slot.begin(begin(self._answer(way, request, path), slot.fill))

    async def _answer(self, way: FastRoute, request: FastRequest, path: Mapping[str, str]) -> Response:
        try:
            answer = await self._handle(way.route, request, path)
        except Exception as fault:  # noqa: BLE001 - nothing but the error body may reach a client
            self._note(fault)
            return answer_to(fault, request.method, request.path)
        if not isinstance(answer, Response):
            raise TypeError(f"{way.route.verb} is streamed")
        return answer

    def _note(self, fault: Exception) -> None:
        """Have those in line hear of a store that is away; a log store that is away holds nobody up."""
        if type(fault) is StoreUnavailable:
            self._admission.store_failed()

    async def _handle(self, route: Route, request: Request, path: Mapping[str, str]) -> Response | web.StreamResponse:
        front = self.front
        front.browsers.check_host(request)
        if request.is_of_browser and route.is_changing:
            front.browsers.check_page(request)
        grant = front.access.admit(request.headers.get("Authorization"), route.scope, path.get("group_name", ""))
        if route.query is Query and request.query_string and route.is_strict:
            parse(Query, request.query_string)  # nobody else would look
        return await route.handler(Call(front, request, path, grant))


DISPATCHER = web.AppKey("DISPATCHER", RequestDispatcher)


def make_app(broker: Broker) -> web.Application:
    """The application of a broker. Run it with `broker.http.server.runner.BrokerRunner`.

    Its `shutdown` lets those who wait for a job go; its `cleanup` waits for jobs that go back.
    """
    front = AppContext(broker, msgspec.json.encode(document()))
    desk = RequestDispatcher(front)
    app = web.Application(middlewares=[front.in_progress.middleware, desk.middleware])
    app[DISPATCHER] = desk
    for number, route in enumerate(ROUTES):
        path = route.path.replace("}", ":[^/]+}")
        app.router.add_route(route.method, path, desk.handler(number, route), expect_handler=_expect_later)
    app.on_shutdown.append(_stop_waiting(front))
    app.on_cleanup.append(_settle(front))
    return app


def response_of(answer: Response) -> web.Response:
    """An answer as aiohttp sends it."""
    response = web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))
    if answer.status == STATUS[TooSlow]:
        response.force_close()
    return response


def _refuse(request: FastRequest, slot: PendingResponse, fault: TitanError) -> None:
    slot.fill(answer_to(fault, request.method, request.path), None)


async def _sent(request: web.Request, answer: Response) -> web.Response:
    """The answer; one that must be undone when it cannot be written is written here."""
    response = response_of(answer)
    if answer.unsent is None:
        return response
    try:
        await response.prepare(request)
        await response.write_eof()
    except (ConnectionError, asyncio.CancelledError) as gone:
        answer.unsent()
        if isinstance(gone, asyncio.CancelledError):
            raise
    return response


async def _expect_later(_: web.Request) -> None:
    """A client that asks before it sends its body is answered when somebody reads it."""


def _stop_waiting(front: AppContext) -> Hook:
    async def stop(_: web.Application) -> None:
        front.polls.stop()
        front.followers.stop()
        front.broker.store.workers.notices.stop()

    return stop


def _settle(front: AppContext) -> Hook:
    async def settle(_: web.Application) -> None:
        await front.broker.store.dispatcher.settle()
        await front.metrics.close()

    return settle
