"""The exception by which a handler has its job wait for others.

raise titan.WaitFor(client.enqueue_many("mail", jobs))
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from titan.jobs import Job

    Awaited = Union[Job, str, Iterable[Union[Job, str]]]


class WaitFor(Exception):
    """The job waits, and runs again once these jobs have ended: at most 100 jobs, or their ids.

    Then its `inputs` have how each of them ended, and what it made. `after_on` "succeeded": when one of them does not
    succeed, the job is cancelled.
    """

    def __init__(self, jobs: Awaited, *, after_on: str = "over") -> None:
        self.jobs = ids_of(jobs)
        self.after_on = after_on
        super().__init__(f"it waits for {', '.join(self.jobs)}")


def ids_of(jobs: Awaited) -> list[str]:
    """The ids of a job or of several. Raises TypeError for what is neither a job nor an id."""
    given: list[Any] = [jobs] if isinstance(jobs, str) or hasattr(jobs, "id") else list(jobs)
    ids: list[str] = [getattr(one, "id", one) for one in given]
    for one in ids:
        if not isinstance(one, str):
            raise TypeError(f"A job waits for jobs or their ids, and not for {type(one).__name__}.")
    return ids
