"""All runners of a worker, made from its settings."""

import os

from worker import keeper
from worker.config import WorkerSettings, app_environment, job_environment
from worker.entries import Entry, HttpEntry, ProcessEntry, PythonEntry
from worker.runners import EntryRunner
from worker.runners.choice import Choice
from worker.runners.http import HttpRunner
from worker.runners.orphans import Orphans
from worker.runners.pool import Pool
from worker.runners.process import ProcessRunner
from worker.runners.python import PythonRunner
from worker.table import Tables


def make_runner(settings: WorkerSettings, tables: Tables) -> Choice:
    """The runner of the table, with a runner for each kind of entry."""
    orphans = Orphans() if keeper.is_below_one() else None
    process = ProcessRunner(
        job_environment(), kill_after_s=settings.kill_after_s, give_back_s=settings.give_back_s, orphans=orphans
    )
    size = settings.pool_size or os.cpu_count() or 1
    pool = Pool(settings.app, app_environment(), size, settings.kill_after_s, orphans)
    runners: dict[type[Entry], EntryRunner] = {
        ProcessEntry: process,
        HttpEntry: HttpRunner(),
        PythonEntry: PythonRunner(pool),
    }
    return Choice(tables, runners, settings.give_back_s)
