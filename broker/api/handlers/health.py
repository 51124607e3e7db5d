"""Health, for those who run brokers, and the API's own description."""

from aiohttp import web
from msgspec import Struct

from broker.api.answers import document, json, plain
from broker.api.call import Call
from broker.errors import StoreUnavailable
from broker.metrics.families import CONTENT_TYPE


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


async def metrics(call: Call) -> web.StreamResponse:
    """Answer what this broker, and those that share its port, counted and timed, as Prometheus reads it."""
    return plain(await call.front.metrics.text(), CONTENT_TYPE)


async def openapi(call: Call) -> web.StreamResponse:
    """Answer this description."""
    return document(call.front.document)
