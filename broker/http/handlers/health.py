"""Health, for those who run brokers, and the API's own description."""

from msgspec import UNSET, Struct, UnsetType

from broker.core.errors import Stopping, StoreUnavailable
from broker.http.request.context import Call
from broker.http.responses import Response, document, json, plain
from broker.metrics.exposition import CONTENT_TYPE


class Health(Struct, frozen=True):
    """The body of healthz."""

    status: str = "ok"


class Readiness(Struct, frozen=True):
    """The body of readyz: what the store is set to, and what is wrong with that for jobs that must not be lost."""

    status: str = "ok"
    store: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


async def healthz(_: Call) -> Response:
    """Say that this broker is alive."""
    return json(Health())


async def readyz(call: Call) -> Response:
    """Say whether this broker can work: its store runs scripts, and its reaper reaps."""
    reaper, condition = call.front.broker.reaper, call.front.broker.condition
    if condition is not None and condition.is_stopping:
        raise Stopping
    await call.store.ready()
    if reaper is not None and reaper.fault:
        raise StoreUnavailable(f"The reaper is in trouble: {reaper.fault}")
    if condition is None:
        return json(Readiness())
    seen = condition.watch.seen
    return json(Readiness(store=seen.settings, warnings=list(seen.warnings) or UNSET))


async def metrics(call: Call) -> Response:
    """Answer what this broker, and those that share its port, counted and timed, as Prometheus reads it."""
    return plain(await call.front.metrics.text(), CONTENT_TYPE)


async def openapi(call: Call) -> Response:
    """Answer this description."""
    return document(call.front.document)
