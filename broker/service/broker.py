"""One broker: builds it from its settings, and stops it without losing a request."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from broker.auth.grants import Access, access_of
from broker.auth.tls import Tls, tls_from
from broker.core.errors import StartFailed, TitanError
from broker.core.events import event
from broker.core.service_notifier import SILENT, ServiceNotifier
from broker.core.settings import BrokerSettings
from broker.core.spans import spans_of
from broker.core.version import own_version
from broker.core.words import counted
from broker.diagnostics.durability import DurabilityMonitor
from broker.diagnostics.metrics_report import MetricsReport
from broker.diagnostics.peer_metrics import PeerMetrics
from broker.diagnostics.readiness import ReadinessCheck
from broker.http.app import DISPATCHER, Broker, make_app
from broker.http.browser_guard import allowed_names
from broker.http.forwarded import TrustedProxies
from broker.http.server.listening import PlainSite
from broker.http.server.runner import BrokerRunner
from broker.http.server.tls_site import TlsSite
from broker.http.ui.base_path import base_path_of
from broker.logs.storage import Logs, open_logs
from broker.metrics.process import LoopLag
from broker.models.doctor import NO_SOURCES, Source
from broker.reaper.bulk_runner import BulkRunner
from broker.reaper.reaper import Reaper
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from broker.service.membership import Membership
from broker.store.connect import opened
from broker.store.job_store import JobStore

_BACKLOG = 1024
_LAST_S = 1.0
"""How long a response may take to leave after the wait for requests in progress has ended."""
_FIRST_S = 0.5
"""How long a connection may take to send its first request when the broker stops listening."""
_MORE_OBJECTS = 10_000
"""How many new objects start a garbage collection. A burst of pipelined requests must not start one."""

_log = logging.getLogger(__name__)


class Serving(NamedTuple):
    """A broker that runs: its URL, its store, and the redis-cli command for the store.

    `read_again` reads tokens and certificates again. A file that cannot be read changes nothing.
    """

    url: str
    store: JobStore
    redis_cli: str
    read_again: Callable[[], None]
    membership: Membership

    async def until(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set, or the store has become another one."""
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((stopping, self.membership.differs), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    def check(self) -> None:
        """Raise StartFailed when the broker stopped because the store has become another one."""
        if self.membership.differs.done():
            raise StartFailed(self.membership.differs.result())


async def serve(
    settings: BrokerSettings,
    on_ready: Callable[[Serving], None],
    stop: asyncio.Event,
    siblings: PeerMetrics | None = None,
    is_hung_up: Callable[[], bool] = lambda: False,
    notifier: ServiceNotifier = SILENT,
    sources: Mapping[str, Source] = NO_SOURCES,
) -> None:
    """Run a broker, alone or with siblings, until `stop` is set. `on_ready` is called once it serves.

    SIGHUP reads its files again, or sets `stop` when `is_hung_up` returns that the terminal is closed. `notifier`
    reports to the service manager; one of several brokers has none. Raises StartFailed.
    """
    async with running(settings, siblings, sources) as serving:
        # Late, so that a start that fails says why and nothing else.
        _log.info("Titan %s has started", own_version(), extra=event("broker.started", version=own_version()))
        _at_hangup(serving.read_again, stop, is_hung_up)
        on_ready(serving)
        _collect_rarely()
        _log.info("ready on %s", serving.url, extra=event("broker.ready", address=serving.url))
        async with notifier.serving(serving.url):
            await serving.until(stop)
        _log.info("stopping", extra=event("broker.stopping"))
        notifier.stopping()
    _log.info("stopped", extra=event("broker.stopped"))
    serving.check()


def stop_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set from now on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _collect_rarely() -> None:
    """Make garbage collections rare: requests create no reference cycles. Call it when the start is complete."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MORE_OBJECTS, *gc.get_threshold()[1:])


@asynccontextmanager
async def running(
    settings: BrokerSettings, siblings: PeerMetrics | None = None, sources: Mapping[str, Source] = NO_SOURCES
) -> AsyncIterator[Serving]:
    """A broker that serves inside the block and drains at its end. Its store closes last. Raises StartFailed.

    `sources`: where the value of each setting comes from, for the doctor.
    """
    access, tls = _guards(settings)
    async with AsyncExitStack() as stack:
        spans = spans_of("titan-broker", is_on=settings.otel)
        if spans is not None:
            stack.push_async_callback(spans.close)
        store, _, redis_cli = await stack.enter_async_context(opened(settings))
        await stack.enter_async_context(_task(store.topology.watch()))
        store.counts.label_groups(settings.metrics_groups, siblings.labels if siblings else None)
        metrics, lag = MetricsReport(store, siblings), LoopLag()
        metrics.add(lag.families)
        metrics.add(store.topology.families)
        logs = _open_logs(settings)
        metrics.add(logs.families)
        notifier = await stack.enter_async_context(_notifier(store))
        reaper = Reaper(store, logs, notifier) if settings.reaper else None
        condition = ReadinessCheck(await _durability(store, settings))
        bulks = BulkRunner(store)
        parts = (store, logs, notifier, settings, reaper, access, metrics, condition, bulks, sources)
        # Before the tasks: it holds the event loop, and meanwhile their calls to the store would become overdue.
        app = make_app(Broker(*parts, spans))
        await stack.enter_async_context(_task(store.counts.run()))
        await stack.enter_async_context(_task(store.modes.run()))
        await store.events.step()  # it knows of listeners before it serves, so they miss nothing that it does
        await stack.enter_async_context(_task(store.events.run()))
        metrics.add(store.counts.families)
        store.wake_at_enqueue(notifier.wake)
        if reaper is not None:
            await stack.enter_async_context(_task(reaper.run()))
            metrics.add(reaper.families)
        await stack.enter_async_context(_task(lag.run()))
        if siblings is not None:
            await stack.enter_async_context(siblings.heard(metrics.own))
        await stack.enter_async_context(_task(store.dispatcher.asked.run()))
        metrics.add(bulks.families)
        await stack.enter_async_context(_task(bulks.run()))
        url = await stack.enter_async_context(_listening(app, settings, condition, tls))
        # Late, so that its messages come after those of the start.
        await stack.enter_async_context(_task(condition.watch.run()))
        membership = Membership(store, url, settings.dialect)
        membership.differs.add_done_callback(condition.stop)
        await stack.enter_async_context(_task(membership.run()))
        yield Serving(url, store, redis_cli, partial(_read_again, access, tls), membership)


def _notifier(store: JobStore) -> Notifier:
    """A notifier that listens at each server for its partitions."""
    first, *others = ((connect_listener(s.redis), store.topology.partitions_of(s)) for s in store.topology.all)
    return Notifier(*first, *others)


def _guards(settings: BrokerSettings) -> tuple[Access, Tls | None]:
    try:
        allowed_names(settings)
        TrustedProxies(settings)
        base_path_of(settings.base_path)
        return access_of(settings), tls_from(settings)
    except ValueError as error:
        raise StartFailed(str(error)) from error


def _read_again(access: Access, tls: Tls | None) -> None:
    try:
        n = access.reload()
        _log.info("read again: %s", counted(n, "token"), extra=event("tokens.reloaded", tokens=n))
        if tls is not None:
            tls.reload()
            _log.info("read again: the certificate", extra=event("tls.reloaded"))
    except ValueError as error:
        _log.error("%s What was read before stays in force.", error)


def _at_hangup(read_again: Callable[[], None], stop: asyncio.Event, is_hung_up: Callable[[], bool]) -> None:
    """Handle SIGHUP from now on, also while the broker drains."""

    def on_hangup() -> None:
        if is_hung_up():
            _log.warning("the terminal is closed: stopping")
            stop.set()
        else:
            read_again()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)


def _open_logs(settings: BrokerSettings) -> Logs:
    address = settings.log_store or str(Path(settings.data_dir) / "logs")
    try:
        return open_logs(address, settings.max_log_bytes)
    except (ValueError, OSError) as error:
        raise StartFailed(f"The log store {address} cannot be used: {error}") from error


async def _durability(store: JobStore, settings: BrokerSettings) -> DurabilityMonitor:
    """Check and log the durability of the store. Raises StartFailed if it can lose jobs and require_durable is set."""
    monitor = DurabilityMonitor(store)
    try:
        seen = await monitor.look()
    except TitanError as error:
        raise StartFailed(f"The settings of the store cannot be read: {error.__cause__ or error}") from error
    if settings.require_durable and seen.weaknesses:
        raise StartFailed(f"The store can lose jobs, and --require-durable is set: {' '.join(seen.weaknesses)}")
    return monitor


@asynccontextmanager
async def _task(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _listening(
    app: web.Application, settings: BrokerSettings, condition: ReadinessCheck, tls: Tls | None
) -> AsyncIterator[str]:
    """Listen and answer inside the block. At its end stop being ready, then listening, then finish the requests."""
    in_progress = app[DISPATCHER].context.in_progress
    runner = BrokerRunner(app, settings, access_log=None, shutdown_timeout=_LAST_S)
    await runner.setup()
    site = _site(runner, settings, tls)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise StartFailed(f"Cannot listen on {settings.host}:{settings.port}: {reason}.") from error
    try:
        yield _address(runner, "https" if tls else "http")
    finally:
        condition.is_stopping = in_progress.is_stopping = True
        if settings.drain_delay_s:
            _log.info("no longer ready; listening for another %g s", settings.drain_delay_s)
            await asyncio.sleep(settings.drain_delay_s)
        await site.stop()
        await runner.guard.wait_for_first_requests(_FIRST_S)
        await app.shutdown()  # ends the long polls
        await in_progress.drain(settings.shutdown_grace_s)
        await runner.cleanup()


def _site(runner: BrokerRunner, settings: BrokerSettings, tls: Tls | None) -> web.BaseSite:
    where = runner, settings.host, settings.port
    is_shared = settings.processes > 1
    if tls is None:
        return PlainSite(*where, backlog=_BACKLOG, reuse_port=is_shared)
    limit_s = settings.tls_handshake_timeout_s
    return TlsSite(*where, tls.context, runner.guard, limit_s, backlog=_BACKLOG, reuse_port=is_shared)


def _address(runner: web.AppRunner, scheme: str) -> str:
    host, port = runner.addresses[0][:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
