"""The worker's own port: /healthz, /readyz and /metrics, for those who watch over it. It changes nothing in the worker.

It answers in the event loop of the jobs, so an answer that comes late says that this loop is late.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web

from broker.core.errors import Forbidden, NotFound, StartFailed, TitanError
from broker.metrics.exposition import Family, labelled
from broker.metrics.process import own_build, usage
from broker.metrics.prometheus import exposition
from worker.client import Client
from worker.daemon.backoff import Outage
from worker.settings import WorkerSettings

_ASK_S = 2.0
"""How long the broker may take to answer for /readyz, s."""
_LAST_S = 0.5
_BACKLOG = 64


class Watched(Protocol):
    """The worker that the port reports on."""

    name: str

    @property
    def is_stopping(self) -> bool:
        """Whether it takes no jobs any more."""

    @property
    def has_asked(self) -> bool:
        """Whether a broker has answered a call for jobs."""

    def metrics(self) -> list[Family]:
        """What it has done."""


class WorkerPort:
    """What the port answers."""

    def __init__(self, client: Client, outage: Outage, worker: Watched) -> None:
        self._client = client
        self._outage = outage
        self._worker = worker

    @asynccontextmanager
    async def listening(self, settings: WorkerSettings) -> AsyncIterator[None]:
        """Answer inside the block. Raises StartFailed if the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_LAST_S)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, settings.metrics_host, settings.metrics_port, backlog=_BACKLOG).start()
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                where = f"{settings.metrics_host}:{settings.metrics_port}"
                raise StartFailed(f"Cannot listen on {where}, the --metrics-port: {reason}.") from error
            yield
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._worker.is_stopping:
            return _not_ready("stopping", "The worker stops.")
        if self._outage.is_present:
            return _not_ready("away", "The broker does not answer.")
        fault = None if self._worker.has_asked else await self._fault()
        return _not_ready("away", fault) if fault else web.json_response({"status": "ok"})

    async def _fault(self) -> str | None:
        """Why the broker cannot be reached, before it has answered anything. It may not know this worker yet."""
        try:
            async with asyncio.timeout(_ASK_S):
                await self._client.worker(self._worker.name)
        except TimeoutError:
            return f"The broker has not answered for {_ASK_S:g} s."
        except (NotFound, Forbidden):
            return None
        except TitanError as error:
            return error.message
        return None

    async def _metrics(self, request: web.Request) -> web.Response:
        families = [*labelled(self._worker.metrics(), worker=self._worker.name), *own_build(), *usage()]
        body, kind = exposition(families, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "no-store"})


def _not_ready(status: str, message: str) -> web.Response:
    return web.json_response({"status": status, "message": message}, status=503)
