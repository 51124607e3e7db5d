"""The job that a Python function gets, if it has a second parameter."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from broker.models.jobs import Job

Say = Callable[..., None]
"""Takes a percent, and a note or none."""

if TYPE_CHECKING:

    class RunningJob(Job):
        """A job that runs. `job.progress(40, "half of it")` says how far it is; the next heartbeat sends that."""

        def progress(self, percent: float | None = None, note: str = "") -> None:  # type: ignore[misc, override]
            """Say how far the job is: 0 to 100, and for people what it does now, at most 256 characters."""

else:
    RunningJob = Job


def running_job(job: Job, say: Say) -> "RunningJob":
    """The job with `progress` as a method in place of the field, which is not set while it runs."""
    running = copy.copy(job)
    running.progress = say  # type: ignore[assignment]
    return cast("RunningJob", running)
