"""Health and metrics for operators, and the description of the API."""

from msgspec import UNSET, Struct, UnsetType

from broker.core.errors import Stopping, StoreUnavailable
from broker.http.request.context import Call
from broker.http.responses import Response, document, json, plain
from broker.metrics.exposition import CONTENT_TYPE


class Health(Struct, frozen=True):
    """The body of healthz."""

    status: str = "ok"


class Readiness(Struct, frozen=True):
    """The body of readyz: the durability settings of the store, and warnings about settings that can lose jobs."""

    status: str = "ok"
    store: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


async def healthz(_: Call) -> Response:
    """Report that this broker is alive."""
    return json(Health())


async def readyz(call: Call) -> Response:
    """Report whether this broker can work: its store runs scripts, and its reaper has no error."""
    reaper, condition = call.context.broker.reaper, call.context.broker.condition
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
    """Return the metrics of this broker and of those that share its port, in the Prometheus format."""
    return plain(await call.context.metrics.text(), CONTENT_TYPE)


async def openapi(call: Call) -> Response:
    """Return this description of the API."""
    return document(call.context.document)
