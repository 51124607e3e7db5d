"""The worker: dequeues jobs, runs them, renews their leases and reports their outcomes."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial

import msgspec
from msgspec import UNSET

from broker.core.errors import StartFailed
from broker.core.events import event
from broker.core.service_notifier import ServiceNotifier
from broker.core.settings_schema import notify_socket
from broker.core.spans import Spans, spans_of
from broker.core.timestamps import rfc3339
from broker.core.version import own_version
from broker.core.words import counted
from broker.metrics.exposition import Family
from broker.models.jobs import Job
from broker.models.workers import MAX_ASKED, MAX_RUNNING, Announcement, State
from titan.errors import SpeaksDialect
from worker.client import Client
from worker.credentials import credentials_of
from worker.daemon import parent_watch
from worker.daemon.backoff import Outage
from worker.daemon.counts import WorkerCounts
from worker.daemon.deliveries import Deliveries, Delivery, Event
from worker.daemon.inputs import inputs_of
from worker.daemon.loops.announce import AnnounceLoop
from worker.daemon.loops.dequeue import NextLoop
from worker.daemon.loops.heartbeat import TouchLoop
from worker.daemon.loops.report import FinishLoop
from worker.daemon.loops.stuck import StuckLoop
from worker.daemon.loops.upload_logs import LogUploads
from worker.daemon.own_port import own_port
from worker.daemon.signals import until_signalled
from worker.daemon.start_report import report_start, warn_of_missing_programs
from worker.daemon.thread_loop import run_in_thread
from worker.host import host_name, own_name
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.jobs.texts import MAX_ERROR, clipped, error_text
from worker.runners import Runner
from worker.runners.environment import trace_of_job
from worker.runners.factory import make_runner
from worker.settings import WorkerSettings
from worker.table.table import Tables

LAST_REPORTS_S = 4.0
"""How much longer than `grace_s` a stop may take, for the last reports and logs, s."""
_LAST_ENDS_S = 1.5
"""The part of that time for jobs that are killed, s."""
_CLOSING_S = 2.0
"""How long a stop waits in addition, for jobs that do not end, s."""
_CANNOT_START = 2
"""The exit code of a worker whose first broker speaks a dialect, or whose port is taken."""

_log = logging.getLogger(__name__)


async def run_worker(
    settings: WorkerSettings,
    *,
    stop: asyncio.Event | None = None,
    on_event: Callable[[Event], None] | None = None,
    is_hung_up: Callable[[], bool] = lambda: False,
) -> int:
    """Run a worker until `stop` is set, or without one until SIGTERM or SIGINT; the exit code.

    0: every job is reported or released. 1: some job is not; it is requeued when its lease ends. 2: the first broker
    that answered speaks a dialect, or the port of the worker is taken. `is_hung_up` says at a SIGHUP whether the
    terminal is closed, which also stops the worker; else its table is read again. A cancellation kills the jobs at
    once. Raises ValueError for an unreadable table, token or certificate.
    """
    tables = Tables(settings)
    runner = make_runner(settings, tables)
    spans = spans_of("titan-worker", is_on=settings.otel)
    async with (
        aclosing(runner),
        AsyncExitStack() as closing,
        Client(settings.broker_url, **credentials_of(settings)) as client,
    ):
        await runner.open()
        if spans is not None:
            closing.push_async_callback(spans.close)
        worker = Worker(settings, client, runner, tables, on_event or _ignore, spans)
        try:
            async with own_port(settings, client, worker.outage, worker):
                if stop is not None:
                    return await worker.serve(stop)
                longest_s = settings.grace_s + LAST_REPORTS_S + 2 * _CLOSING_S
                return await until_signalled(worker.serve, worker.signals, is_hung_up, longest_s)
        except StartFailed as fault:
            _log.error("%s", fault)
            return _CANNOT_START


class Worker:
    """One worker of one broker; any runner."""

    def __init__(
        self,
        settings: WorkerSettings,
        client: Client,
        runner: Runner,
        tables: Tables,
        on_event: Callable[[Event], None],
        spans: Spans | None = None,
    ) -> None:
        self._settings = settings
        self._client = client
        self._runner = runner
        self._spans = spans
        self._tables = tables
        self._counts = WorkerCounts()
        self._on_event = on_event = partial(_both, self._counts.observe, on_event)
        self._notifier = ServiceNotifier(notify_socket())
        self.name = settings.name or own_name()
        self._stop = asyncio.Event()
        self._loops: asyncio.TaskGroup | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._deliveries = Deliveries(settings.concurrency)
        self.outage = Outage()
        self._uploads = LogUploads(client, on_event, self.outage)
        self._next = NextLoop(client, self._deliveries, self._uploads, settings, tables, self._start, self.outage)
        self._finish = FinishLoop(client, self._deliveries, self._uploads, on_event, self.name, self.outage)
        self._stuck = StuckLoop(self._deliveries, settings.kill_after_s, self._abandon)
        self._has_closed = False
        self._since = rfc3339(int(time.time() * 1000))
        self._finished = self._failed = 0

    async def serve(self, stop: asyncio.Event) -> int:
        """Work until `stop` is set, then drain; the exit code. An error in a loop ends the worker."""
        self._stop = stop
        code = _CANNOT_START
        try:
            async with asyncio.TaskGroup() as loops:
                self._loops = loops
                works = (run_in_thread(partial(self._renew_leases, asyncio.get_running_loop())), self._finish.run())
                streams = self._uploads.stream(self._deliveries, self._settings.stream_s)
                more = (self._notifier.watchdog(), streams, self._stuck.run())
                others = [loops.create_task(work) for work in (*works, *more)]
                report_start(self._settings, self.name, self._tables.current)
                self.resume()
                self._notifier.notify("READY=1")
                await stop.wait()
                self._notifier.notify("STOPPING=1")
                self.quiet()
                code = 0 if await self._drain() else 1
                for task in others:
                    task.cancel()
        except* SpeaksDialect as refused:
            _log.error("%s", refused.exceptions[0])
        finally:
            await self._end()
        return code

    @property
    def signals(self) -> Mapping[signal.Signals, Callable[[], None]]:
        """The handlers of the signals that do not stop it."""
        return {signal.SIGTSTP: self.quiet, signal.SIGCONT: self.resume, signal.SIGHUP: self.reload}

    def quiet(self) -> None:
        """Take no jobs until `resume`; running jobs continue."""
        if self._dispatcher is not None:
            _log.info("takes no jobs from now on")
            self._dispatcher.cancel()
            self._dispatcher = None

    def resume(self) -> None:
        """Take jobs again."""
        if self._dispatcher is None and self._loops is not None and not self._stop.is_set():
            _log.info("asks for jobs")
            self._dispatcher = self._loops.create_task(self._next.run())

    def reload(self) -> None:
        """Read the table again. If it cannot be read, the old one stays in force."""
        try:
            self._tables.reload()
        except ValueError as error:
            _log.error("the table stays as it was: %s", error)
        else:
            _log.info("the table was read again")
            warn_of_missing_programs(self._tables.current)

    async def _renew_leases(self, job_loop: asyncio.AbstractEventLoop) -> None:
        """Renew the leases and send heartbeats, in a separate thread; the jobs run in `job_loop`."""
        lease_s = self._settings.lease_s
        orders = {"quiet": self.quiet, "resume": self.resume, "drain": self._stop.set}
        credentials = credentials_of(self._settings)
        timeout_s = max(1.0, min(10.0, lease_s / 3))
        async with (
            Client(self._settings.broker_url, timeout_s=timeout_s, **credentials) as client,
            asyncio.TaskGroup() as loops,
        ):
            touch = TouchLoop(
                client,
                self._deliveries,
                lease_s,
                self._on_event,
                job_loop,
                self._settings.kill_after_s,
                self.outage,
                self._counts.drops,
            )
            loops.create_task(touch.run())
            announce = AnnounceLoop(
                client,
                self._current_announcement,
                lambda order: job_loop.call_soon_threadsafe(orders[order]),
                touch.handle_orders,
                self.outage,
            )
            loops.create_task(announce.run())

    def _current_announcement(self) -> Announcement:
        running = [delivery.job.id for delivery in self._deliveries.running]
        state: State = "draining" if self._stop.is_set() else "working" if self._dispatcher else "quiet"
        return Announcement(
            name=self.name,
            host=host_name(),
            version=own_version(),
            runner=self._tables.current.kinds,
            state=state,
            slots=self._settings.concurrency,
            busy=len(running),
            running=running[:MAX_RUNNING],
            groups=_listed(self._settings.group),
            images=_listed(self._tables.current.names or ()),
            since=self._since,
            finished=self._finished,
            failed=self._failed,
        )

    @property
    def is_stopping(self) -> bool:
        """Whether it takes no jobs any more."""
        return self._stop.is_set()

    @property
    def has_asked(self) -> bool:
        """Whether a broker has answered a call for jobs."""
        return self._next.polls["jobs"] + self._next.polls["empty"] > 0

    def metrics(self) -> list[Family]:
        """What it has done."""
        polls, failures = self._next.polls, self.outage.failures
        return self._counts.families(self._settings.concurrency, self._deliveries, polls, failures)

    def _start(self, job: Job) -> None:
        delivery = Delivery(job, Output(self._settings.keep_log_bytes), self._settings.lease_s)
        started = event("job.started", job=job.id, group=job.group_name, worker=self.name)
        _log.info("job %s: started, image %.255r", job.id, job.image, extra=started)
        delivery.task = asyncio.create_task(
            self._run_with_inputs(job, delivery.output) if job.has_inputs is True else self._run(job, delivery.output)
        )
        delivery.task.add_done_callback(partial(self._ended, delivery))
        self._deliveries.started(delivery)
        self._on_event(Event("started", job))

    async def _run_with_inputs(self, job: Job, output: Output) -> Outcome:
        output.inputs = await inputs_of(self._client, job, self.outage)
        return await self._run(job, output)

    async def _run(self, job: Job, output: Output) -> Outcome:
        """Run a job, within its span if there are spans: the job then gets that span as its parent."""
        if self._spans is None:
            return await self._runner.run(job, output)
        span = self._spans.begin("process", "process", job.group_name, trace_of_job(job), job=job.id)
        own = msgspec.structs.replace(job, traceparent=span.trace.parent, tracestate=span.trace.state or UNSET)
        try:
            with span.current():
                outcome = await self._runner.run(own, output)
            if isinstance(outcome, Failed):
                span.failed(outcome.reason)
        except BaseException as error:
            span.failed(type(error).__name__)
            raise
        finally:
            span.end()
        return outcome

    def _ended(self, delivery: Delivery, task: asyncio.Task[Outcome]) -> None:
        outcome = self._outcome(delivery, task)
        if not delivery.ended_at:  # it is set when the run was abandoned
            self._settle(delivery, outcome)

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self._deliveries.ended(delivery)
        self._counts.ended(delivery, outcome)
        if self._has_closed or parent_watch.is_parent_gone():  # the job is requeued when its lease ends
            return
        ended = event("job.ended", job=delivery.job.id, group=delivery.job.group_name, worker=self.name)
        _log.info("job %s: %s", delivery.job.id, outcome, extra=ended)
        self._finished += isinstance(outcome, Succeeded | Failed)
        self._failed += isinstance(outcome, Failed)
        self._on_event(Event("ended", delivery.job, outcome))
        self._finish.put(delivery, outcome)

    def _abandon(self, delivery: Delivery, outcome: Outcome) -> None:
        """Report a run that does not end, and free its slot. The runner ends what it can of it."""
        _log.error("job %s: it did not end when it was stopped; its slot is free", delivery.job.id)
        self._settle(delivery, outcome)
        if delivery.task is not None:
            self._runner.abandon(delivery.task)

    def _outcome(self, delivery: Delivery, task: asyncio.Task[Outcome]) -> Outcome:
        error = None if task.cancelled() else task.exception()
        if delivery.forced_outcome is not None:
            return delivery.forced_outcome
        if task.cancelled():
            return Failed("exception", "CancelledError; nobody cancelled it but the job itself")
        if error is None:
            return task.result()
        _log.error("job %s: its runner broke", delivery.job.id, exc_info=error)
        return Failed("worker_error", clipped(f"the worker could not run it: {error_text(error)}", MAX_ERROR))

    async def _drain(self) -> bool:
        deadline = time.monotonic() + self._settings.grace_s
        running = len(self._deliveries.running)
        limit = f", with {self._settings.grace_s:g} s to end" if running else ""
        _log.info(
            "stopping: %s running%s", counted(running, "job"), limit, extra=event("worker.stopping", worker=self.name)
        )
        try:
            async with asyncio.timeout(self._settings.grace_s):
                await self._deliveries.wait_until_idle()
        except TimeoutError:
            for delivery in self._deliveries.running:
                delivery.stop(Released())
            await self._stuck.until_idle(_LAST_ENDS_S)
        try:
            async with asyncio.timeout(deadline + LAST_REPORTS_S - time.monotonic()):
                await self._deliveries.wait_until_reported()
                await self._uploads.wait_until_sent()
        except TimeoutError:
            if not self._deliveries.unreported:
                _log.warning("stopped before every log was uploaded")
        return self._is_all_reported()

    def _is_all_reported(self) -> bool:
        """Whether every job is reported or released; logged as the last line of a stop."""
        missing = len(self._deliveries.unreported) + self._finish.lost_outcomes
        if missing:
            _log.warning("stopped with %s not reported: queued again when the lease ends", counted(missing, "job"))
        else:
            _log.info("stopped: every job is reported or released", extra=event("worker.stopped", worker=self.name))
        return not missing

    async def _end(self) -> None:
        self._has_closed = True
        tasks = [delivery.task for delivery in self._deliveries.running if delivery.task]
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=_CLOSING_S)
            for task in left:
                self._runner.abandon(task)
        for delivery in self._deliveries.unreported:
            delivery.output.close()
        await self._uploads.close()


def _listed(names: Sequence[str]) -> list[str]:
    """The names for an announcement; none if there are too many."""
    return list(names) if len(names) <= MAX_ASKED else []


def _both(first: Callable[[Event], None], second: Callable[[Event], None], event: Event) -> None:
    first(event)
    second(event)


def _ignore(_event: Event) -> None:
    """Ignore the event."""
