"""The verb of events: listen."""

from aiohttp import web

from broker.core.errors import Invalid, StoreUnavailable, TitanError
from broker.http.event_stream import begin, send
from broker.http.events import COMMENT, READY, EventClient, Wanted
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import EventsQuery
from broker.store.event_feed import OLD, EventPosition, position_of


async def listen(call: Call) -> web.StreamResponse:
    """Send what happens as server-sent events, at most a second after it happened. For eyes and hooks, not a queue.

    Brokers write events only while somebody listens. The header `Last-Event-ID` continues after that event, at any
    broker. Where events are missing there is `event: gap`, with the reason; while the store is away `event: problem`.
    The comment `: ready` comes after the events that were kept.
    """
    query = call.query(EventsQuery)
    for group in query.group:
        call.grant.check(group)
    wanted = Wanted(call.grant, frozenset(query.group), frozenset(query.kind), query.format == "cloudevents")
    after = _after(call.request.headers.get("Last-Event-ID"), query.since)
    feed = call.store.events
    with call.context.events.one(wanted) as client:
        try:
            until = await feed.join(client)
            response = await begin(call.web)
            if after is not None:
                await _send_kept(call, response, client, after, until)
            await send(call.web, response, READY)
            await _follow(call, response, client)
        finally:
            feed.leave(client)
    await response.write_eof()
    return response


async def _send_kept(
    call: Call, response: web.StreamResponse, client: EventClient, after: EventPosition, until: EventPosition
) -> None:
    """Send the events after a position. What comes in the meantime waits in the client."""
    if after[:2] > until[:2]:
        await send(call.web, response, client.gap(OLD))
        return
    client.after = after
    has_gap = False  # the last thing that was sent is one; another one behind it says nothing new
    async for entry in call.store.events.kept(after, until):
        found = entry._replace(gap="") if has_gap else entry
        is_old = not found.position.ms
        pieces = [client.gap(found.gap)] if is_old else list(client.pieces_of(found))
        if pieces:
            has_gap = bool(found.gap) and len(pieces) == 1
            await send(call.web, response, b"".join(pieces))


async def _follow(call: Call, response: web.StreamResponse, client: EventClient) -> None:
    while (piece := await client.next()) is not None:
        try:
            await call.context.events.check(call.request, call.grant)
        except StoreUnavailable:
            pass  # a session cannot be read now; the feed reports the store
        except TitanError as fault:
            client.problem(fault)
            await send(call.web, response, await client.next() or COMMENT)
            return
        await send(call.web, response, piece)


def _after(last_id: str | None, since: str | None) -> EventPosition | None:
    if last_id:
        found = position_of(last_id)
        if found is None:
            raise Invalid("Last-Event-ID must be that of an event, such as 1764130000000-0.3.", fields="Last-Event-ID")
        return found
    at = moment(since, "since")
    return None if at is None else EventPosition(max(0, at - 1))
