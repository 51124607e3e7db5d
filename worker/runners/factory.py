"""Creates the runners of a worker from its settings."""

import os
from collections.abc import Callable
from functools import partial

from worker.daemon import parent_watch
from worker.runners import EntryRunner
from worker.runners.by_entry import RunnerByEntry
from worker.runners.http import HttpRunner
from worker.runners.orphans import Orphans
from worker.runners.pool import Pool
from worker.runners.process import ProcessRunner
from worker.runners.python import PythonRunner
from worker.settings import WorkerSettings, app_environment, docker_host, job_environment
from worker.table.entries import ContainerEntry, Entry, HttpEntry, ProcessEntry, PythonEntry
from worker.table.table import Tables


def make_runner(settings: WorkerSettings, tables: Tables) -> RunnerByEntry:
    """The runner for the table. The runner for a kind is created when the table first has such an entry."""
    orphans = Orphans() if parent_watch.is_below_parent() else None
    makers: dict[type[Entry], Callable[[], EntryRunner]] = {
        ProcessEntry: partial(_process_runner, settings, orphans),
        ContainerEntry: partial(_container_runner, settings),
        HttpEntry: HttpRunner,
        PythonEntry: partial(_python_runner, settings, orphans),
    }
    return RunnerByEntry(tables, makers, settings.give_back_s)


def _process_runner(settings: WorkerSettings, orphans: Orphans | None) -> EntryRunner:
    return ProcessRunner(
        job_environment(), kill_after_s=settings.kill_after_s, give_back_s=settings.give_back_s, orphans=orphans
    )


def _container_runner(settings: WorkerSettings) -> EntryRunner:
    from worker.runners.container import ContainerRunner  # noqa: PLC0415 -- most workers need no container engine
    from worker.runners.engine import Engine  # noqa: PLC0415

    engine = Engine(docker_host())
    return ContainerRunner(engine, kill_after_s=settings.kill_after_s, give_back_s=settings.give_back_s)


def _python_runner(settings: WorkerSettings, orphans: Orphans | None) -> EntryRunner:
    size = settings.pool_size or os.cpu_count() or 1
    pool = Pool(settings.app, app_environment(), size, settings.kill_after_s, settings.give_back_s, orphans)
    return PythonRunner(pool, settings.grace_s)
