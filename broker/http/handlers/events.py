"""The verb of events: listen."""

from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from broker.core.errors import Invalid, StoreUnavailable, TitanError
from broker.http.event_stream import begin, send
from broker.http.events import SLOW_S, EventClient, Wanted, place, problem_of
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import EventsQuery
from broker.store.event_entries import EventPosition, position_of
from broker.store.event_feed import OLD

Sender = Callable[[bytes], Awaitable[None]]
"""Sends a piece of the stream."""


async def listen(call: Call) -> web.StreamResponse:
    """Send what happens as server-sent events, at most a second after it happened. For eyes and hooks, not a queue.

    Brokers write events only while somebody listens. The header `Last-Event-ID` continues after that event, at any
    broker. Where events are missing there is `event: gap`, with the reason; while the store is away `event: problem`.
    The comment `: ready` comes after the events that were kept. With it, and with the comments of a stream that is
    quiet, comes the `id` of the place in the stream, without an event.
    """
    query = call.query(EventsQuery)
    for group in query.group:
        call.grant.check(group)
    wanted = Wanted(call.grant, frozenset(query.group), frozenset(query.kind), query.format == "cloudevents")
    after = _after(call.request.headers.get("Last-Event-ID"), query.since)
    with call.context.events.one(wanted) as client:
        try:
            until = await call.store.events.join(client)
            response = await begin(call.web)
            await _stream(call, partial(send, call.web, response, limit_s=SLOW_S), client, after, until)
        finally:
            call.store.events.leave(client)
    await response.write_eof()
    return response


async def _stream(
    call: Call, sender: Sender, client: EventClient, after: EventPosition | None, until: EventPosition
) -> None:
    """Send what is kept, then what comes."""
    is_known = after is None or after[:2] <= until[:2]
    if not is_known and call.request.headers.get("Last-Event-ID"):
        await sender(client.gap(OLD))
    elif after is not None:
        client.after = after
        if is_known:
            try:
                await _send_kept(call, sender, client, after, until)
            except StoreUnavailable as fault:
                await sender(problem_of(fault))  # and nothing that came later: the client continues where this ended
                return
    await sender(place("ready", until))
    await _follow(call, sender, client)


async def _send_kept(
    call: Call, sender: Sender, client: EventClient, after: EventPosition, until: EventPosition
) -> None:
    """Send the events after a position. What comes in the meantime waits in the client."""
    has_gap = False  # the last thing that was sent is one; another one behind it says nothing new
    async for entry in call.store.events.kept(after, until):
        found = entry._replace(gap="") if has_gap else entry
        is_old = not found.position.ms
        pieces = [client.gap(found.gap)] if is_old else list(client.pieces_of(found))
        if pieces:
            has_gap = bool(found.gap) and len(pieces) == 1
            await sender(b"".join(pieces))


async def _follow(call: Call, sender: Sender, client: EventClient) -> None:
    while (piece := await client.next()) is not None:
        try:
            await call.context.events.check(call.request, call.grant)
        except StoreUnavailable:
            pass  # a session cannot be read now; the feed reports the store
        except TitanError as fault:
            await sender(problem_of(fault))
            return
        await sender(piece)


def _after(last_id: str | None, since: str | None) -> EventPosition | None:
    if last_id:
        found = position_of(last_id)
        if found is None:
            raise Invalid("Last-Event-ID must be that of an event, such as 1764130000000-0.3.", fields="Last-Event-ID")
        return found
    at = moment(since, "since")
    return None if at is None else EventPosition(max(0, at - 1))
