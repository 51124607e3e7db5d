"""All runners of a worker, made from its settings."""

from worker import keeper
from worker.config import WorkerSettings, job_environment
from worker.entries import ProcessEntry
from worker.runners.choice import Choice
from worker.runners.orphans import Orphans
from worker.runners.process import ProcessRunner
from worker.table import Tables


def make_runner(settings: WorkerSettings, tables: Tables) -> Choice:
    """The runner of the table, with a runner for each kind of entry."""
    orphans = Orphans() if keeper.is_below_one() else None
    process = ProcessRunner(
        job_environment(), kill_after_s=settings.kill_after_s, give_back_s=settings.give_back_s, orphans=orphans
    )
    return Choice(tables, {ProcessEntry: process}, settings.give_back_s)
