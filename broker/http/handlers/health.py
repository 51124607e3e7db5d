"""Health and metrics for operators, and the description of the API."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from broker.core.errors import Stopping, StoreUnavailable
from broker.http.request.context import Call
from broker.http.responses import NO_SNIFF, Response, document, json, stream

STREAM_CHECK_LINES, STREAM_CHECK_S = 3, 1.0
"""The lines of stream_check, and the time from the first to the last one, in s."""


class Health(Struct, frozen=True):
    """The body of healthz."""

    status: str = "ok"


class Readiness(Struct, frozen=True):
    """The body of readyz: the durability settings of the store, and warnings about settings that can lose jobs."""

    status: Annotated[str, Meta(description="ok, or degraded: some servers of the store do not answer.")] = "ok"
    degraded: Annotated[list[str], Meta(description="The servers that do not answer.")] | UnsetType = UNSET
    store: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


async def healthz(_: Call) -> Response:
    """Report that this broker is alive."""
    return json(Health())


async def readyz(call: Call) -> Response:
    """Report whether this broker can work: its store runs scripts, and its reaper has no error.

    If the store has several servers, one that answers is enough, unless --ready-when is all.
    """
    reaper, condition = call.context.broker.reaper, call.context.broker.condition
    if condition is not None and condition.is_stopping:
        raise Stopping
    away = await call.store.ready()
    if away and call.settings.ready_when == "all":
        raise StoreUnavailable(f"Servers of the store do not answer: {', '.join(away)}.")
    if reaper is not None and reaper.fault:
        raise StoreUnavailable(f"The reaper is in trouble: {reaper.fault}")
    found = Readiness(status="degraded" if away else "ok", degraded=away or UNSET)
    if condition is None:
        return json(found)
    seen = condition.watch.seen
    return json(msgspec.structs.replace(found, store=seen.settings, warnings=list(seen.warnings) or UNSET))


async def metrics(call: Call) -> Response:
    """Return the metrics of this broker and of those that share its port.

    They are in the text format of Prometheus, or in that of OpenMetrics if the header Accept prefers it. A token for
    some groups sees the samples of these groups, and those that belong to no group.
    """
    reaches = call.grant.reaches if call.grant.is_limited else None
    body, kind = await call.context.metrics.exposition(call.request.headers.get("Accept") or "", reaches)
    return Response(200, body, (("Content-Type", kind), NO_SNIFF, ("Cache-Control", "no-store")))


async def stream_check(call: Call) -> web.StreamResponse:
    """Send three lines within a second. A client that gets them together is behind a proxy that holds answers back."""
    with call.context.followers.one():
        return await stream(call.web, _lines(), {})


async def _lines() -> AsyncIterator[bytes]:
    for number in range(STREAM_CHECK_LINES):
        if number:
            await asyncio.sleep(STREAM_CHECK_S / (STREAM_CHECK_LINES - 1))
        yield b"%d\n" % (number + 1)


async def openapi(call: Call) -> Response:
    """Return this description of the API."""
    return document(await asyncio.to_thread(call.context.document))  # the first time it takes 0.3 s
