"""What a group may have unfinished. The scripts hold to it; what could never be enqueued is refused before that."""

from typing import NamedTuple

from broker.core.errors import Invalid, TooLarge
from broker.core.settings import BrokerSettings


class Limits(NamedTuple):
    """Unfinished jobs, and the bytes of their images and payloads as they are kept; 0: no limit."""

    jobs: int
    bytes: int

    def check(self, jobs: int, size_bytes: int) -> None:
        """Raise Invalid or TooLarge for one enqueue that is over a limit by itself, so that nobody sends it again."""
        if 0 < self.jobs < jobs:
            raise Invalid(f"A group may have {self.jobs} unfinished jobs at most.", fields="jobs")
        if 0 < self.bytes < size_bytes:
            raise TooLarge(f"The unfinished jobs of a group may have {self.bytes} bytes at most.")


def limits_of(settings: BrokerSettings) -> Limits:
    """The limits that a broker holds groups to."""
    return Limits(settings.max_group_jobs, settings.max_group_bytes)
