"""Opens the worker's own port, if it has one. A worker without a port does not load the server for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from worker.client import Client
from worker.daemon.backoff import Outage
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.daemon.port import Watched


@asynccontextmanager
async def own_port(settings: WorkerSettings, client: Client, outage: Outage, worker: "Watched") -> AsyncIterator[None]:
    """Answer on the port of the settings inside the block. Raises StartFailed if it is taken."""
    if not settings.metrics_port:
        yield
        return
    from worker.daemon.port import WorkerPort  # noqa: PLC0415 - it takes a tenth of the start

    async with WorkerPort(client, outage, worker).listening(settings):
        yield
