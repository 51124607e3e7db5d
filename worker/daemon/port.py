"""The worker's own port: /healthz, /readyz and /metrics, for those who watch over it. It changes nothing in the worker.

It answers in the event loop of the jobs, so an answer that comes late says that this loop is late.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from broker.core.errors import TitanError
from broker.core.words import counted
from broker.metrics.exposition import Family, labelled
from broker.metrics.process import build_info, usage
from worker.client import Client
from worker.daemon.backoff import Outage
from worker.settings import WorkerSettings

_ASK_S = 2.0
"""How long the broker may take to answer for /readyz, s."""
_LAST_S = 0.5
_BACKLOG = 64


class PortTaken(Exception):
    """The port cannot be listened on; the text says why."""


class WorkerPort:
    """What the port answers. `families`: the metrics of the worker, by `name`."""

    def __init__(
        self, client: Client, outage: Outage, is_stopping: Callable[[], bool], families: Callable[[], list[Family]]
    ) -> None:
        self._client = client
        self._outage = outage
        self._is_stopping = is_stopping
        self._families = families

    @asynccontextmanager
    async def listening(self, settings: WorkerSettings) -> AsyncIterator[None]:
        """Answer inside the block, if the settings have a port. Raises PortTaken."""
        if not settings.metrics_port:
            yield
            return
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
                raise PortTaken(f"Cannot listen on {where}, the --metrics-port: {reason}.") from error
            yield
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._is_stopping():
            return _not_ready("stopping", "The worker stops.")
        if self._outage.n_failing:
            return _not_ready("away", f"The broker does not answer: {counted(self._outage.n_failing, 'loop')} wait.")
        try:
            async with asyncio.timeout(_ASK_S):
                await self._client.health()
        except TimeoutError:
            return _not_ready("away", f"The broker has not answered for {_ASK_S:g} s.")
        except TitanError as error:
            return _not_ready("away", error.message)
        return web.json_response({"status": "ok"})

    async def _metrics(self, request: web.Request) -> web.Response:
        from broker.metrics.prometheus import exposition  # noqa: PLC0415 - only a worker with a port needs it

        families = [*self._families(), *build_info(), *usage()]
        body, kind = exposition(families, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "no-store"})


def named(families: list[Family], name: str) -> list[Family]:
    """The metrics of one worker: with its name, so that they are not those that a broker has of all workers."""
    return labelled(families, worker=name)


def _not_ready(status: str, message: str) -> web.Response:
    return web.json_response({"status": status, "message": message}, status=503)
