"""The job that a Python function gets, if it has a second parameter."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from broker.models.jobs import Job

Say = Callable[..., None]
"""Takes a percent, and a note or none."""

if TYPE_CHECKING:

    class RunningJob(Job):
        """A job that runs. `job.progress(40, "half of it")` says how far it is; the next heartbeat sends that."""

        inputs: list[dict[str, Any]]
        """How each of the jobs in `after` ended, and what it made: `id`, `status`, and `result`, None for none."""

        def progress(self, percent: float | None = None, note: str = "") -> None:  # type: ignore[misc, override]
            """Say how far the job is: 0 to 100, and for people what it does now, at most 256 characters."""

else:

    class RunningJob(Job):
        """A job with attributes that structs do not have."""

        inputs: list = msgspec.field(default_factory=list)


def running_job(job: Job, say: Say, inputs: bytes = b"") -> "RunningJob":
    """The job with `progress` as a method in place of the field, which is not set while it runs.

    `inputs`: a JSON list, or b"" for none.
    """
    given = RunningJob(**{name: getattr(job, name) for name in Job.__struct_fields__})
    given.progress = say  # type: ignore[method-assign]
    found = msgspec.json.decode(inputs, type=list[dict[str, Any]]) if inputs else []
    given.inputs = [{"result": None, **one} for one in found]
    return given
