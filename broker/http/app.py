"""The front end put together: a route for each row, plain requests answered at the desk, and a quiet end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter

import msgspec
from aiohttp import web

from broker.core.errors import StoreUnavailable, TitanError, TooSlow
from broker.core.inline_task import in_steps, in_task
from broker.http.error_responses import STATUS, answer_to
from broker.http.openapi import document
from broker.http.request.body import WEIGHT, Request, Streamed
from broker.http.request.context import Broker, Call, Front
from broker.http.request.query_params import Query, parse
from broker.http.responses import Answer
from broker.http.routes import ROUTES, Route
from broker.http.server.admission import FIRST, NEVER, rank_of
from broker.http.server.fast_request import MAX_BODY_BYTES, Plain
from broker.http.server.fast_router import Paths, Way
from broker.http.server.pending_response import Slot
from broker.metrics.http_requests import GONE, NO_ROUTE, Requests

Hook = Callable[[web.Application], Awaitable[None]]

__all__ = ["DESK", "Broker", "Desk", "make_app"]


class Desk:
    """Answers requests: plain ones of a connection, and those that aiohttp has read."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.most_body_bytes = min(MAX_BODY_BYTES, front.broker.settings.max_body_bytes)
        self.head_s = front.broker.settings.head_timeout_s
        self._paths = Paths(ROUTES)
        self._ranks = [rank_of(route.verb) for route in ROUTES]
        self._numbers: dict[object, int] = {}
        self._requests = Requests([route.verb for route in ROUTES])
        self._in_progress = front.in_progress
        self._shed = front.shed
        front.metrics.add(front.shed.families)
        front.metrics.add(self._requests.families)

    @property
    def is_stopping(self) -> bool:
        """Whether no connection is kept any more."""
        return self._in_progress.is_stopping

    def begin(self, request: Plain, slot: Slot) -> bool:
        """Begin to answer a plain request, or have it wait its turn; False for one that aiohttp must answer."""
        found = self._paths.find(request.method, request.path)
        if found is None or found[0].route.is_streamed:
            return False
        way, path = found
        slot.route = way.number
        self._in_progress.count += 1
        rank = self._ranks[way.number]
        weight = self._shed.weigh(rank, len(request.body))
        if self._shed.admit(rank, weight):
            self._begin(way, request, path, slot, weight)
        else:
            begin = partial(self._begin, way, request, path, slot, weight)
            slot.begin(self._shed.line_up(rank, weight, begin, partial(_refuse, request, slot)))
        return True

    def ended(self, slot: Slot, status: int) -> None:
        """Count and time a plain request."""
        self._in_progress.ended()
        self._shed.leave(slot.weight)
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
        weight = self._shed.weigh(rank, request.content_length or 0)
        request[WEIGHT], is_begun = 0, False
        try:
            if not self._shed.admit(rank, weight):
                await self._shed.turn(rank, weight)
            request[WEIGHT], is_begun = weight, True
            if number == NO_ROUTE:
                self.front.browsers.check_host(Streamed(request))
            response = await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            self._requests.observe(number, GONE, perf_counter() - began)
            raise
        except Exception as fault:  # nothing but the error body may reach a client
            if is_begun:
                self._note(fault, rank)
            response = response_of(answer_to(fault, request.method, request.path))
            if request.writer.output_size > 0:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError from fault
        finally:
            self._shed.leave(request[WEIGHT])
        self._requests.observe(number, response.status, perf_counter() - began)
        return response

    def _begin(self, way: Way, request: Plain, path: Mapping[str, str], slot: Slot, weight: int) -> None:
        slot.weight = weight
        begin = in_steps if way.route.is_quick else in_task
        slot.begin(begin(self._answer(way, request, path), slot.fill))

    async def _answer(self, way: Way, request: Plain, path: Mapping[str, str]) -> Answer:
        try:
            answer = await self._handle(way.route, request, path)
        except Exception as fault:  # noqa: BLE001 - nothing but the error body may reach a client
            self._note(fault, self._ranks[way.number])
            return answer_to(fault, request.method, request.path)
        if not isinstance(answer, Answer):
            raise TypeError(f"{way.route.verb} is streamed")
        return answer

    def _note(self, fault: Exception, rank: int) -> None:
        """Have those in line hear of a store that is away; a log store that is away holds nobody up."""
        if type(fault) is StoreUnavailable and rank != NEVER:
            self._shed.store_failed()

    async def _handle(self, route: Route, request: Request, path: Mapping[str, str]) -> Answer | web.StreamResponse:
        front = self.front
        front.browsers.check_host(request)
        if request.is_of_browser and route.is_changing:
            front.browsers.check_page(request)
        grant = front.access.admit(request.headers.get("Authorization"), route.scope, path.get("group_name", ""))
        if route.query is Query and request.query_string and route.is_strict:
            parse(Query, request.query_string)  # nobody else would look
        return await route.handler(Call(front, request, path, grant))


DESK = web.AppKey("DESK", Desk)


def make_app(broker: Broker) -> web.Application:
    """The application of a broker. Run it with `broker.http.server.runner.Runner`.

    Its `shutdown` lets those who wait for a job go; its `cleanup` waits for jobs that go back.
    """
    front = Front(broker, msgspec.json.encode(document()))
    desk = Desk(front)
    app = web.Application(middlewares=[front.in_progress.middleware, desk.middleware])
    app[DESK] = desk
    for number, route in enumerate(ROUTES):
        path = route.path.replace("}", ":[^/]+}")
        app.router.add_route(route.method, path, desk.handler(number, route), expect_handler=_expect_later)
    app.on_shutdown.append(_stop_waiting(front))
    app.on_cleanup.append(_settle(front))
    return app


def response_of(answer: Answer) -> web.Response:
    """An answer as aiohttp sends it."""
    response = web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))
    if answer.status == STATUS[TooSlow]:
        response.force_close()
    return response


def _refuse(request: Plain, slot: Slot, fault: TitanError) -> None:
    slot.fill(answer_to(fault, request.method, request.path), None)


async def _sent(request: web.Request, answer: Answer) -> web.Response:
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


def _stop_waiting(front: Front) -> Hook:
    async def stop(_: web.Application) -> None:
        front.polls.stop()
        front.followers.stop()
        front.broker.store.workers.notices.stop()

    return stop


def _settle(front: Front) -> Hook:
    async def settle(_: web.Application) -> None:
        await front.broker.store.dispatcher.settle()
        await front.metrics.close()

    return settle
