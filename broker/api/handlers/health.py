"""Health, for those who run brokers, and the API's own description."""

from aiohttp import web
from msgspec import Struct

from broker.api.answers import document, json
from broker.api.call import Call
from broker.errors import StoreUnavailable


class Health(Struct, frozen=True):
    """The body of healthz and readyz."""

    status: str = "ok"


async def healthz(_: Call) -> web.StreamResponse:
    """Say that this broker is alive."""
    return json(Health())


async def readyz(call: Call) -> web.StreamResponse:
    """Say whether this broker can work: its store runs scripts, and its reaper reaps."""
    await call.store.ready()
    reaper = call.front.broker.reaper
    if reaper is not None and reaper.fault:
        raise StoreUnavailable(f"The reaper is in trouble: {reaper.fault}")
    return json(Health())


async def openapi(call: Call) -> web.StreamResponse:
    """Answer this description."""
    return document(call.front.document)
