"""Limits for the unfinished jobs of a group."""

from typing import NamedTuple

from broker.core.errors import Invalid, TooLarge
from broker.core.settings import BrokerSettings


class GroupLimits(NamedTuple):
    """Limits for the unfinished jobs of a group: their number, and the bytes of images and payloads; 0: no limit."""

    jobs: int
    bytes: int

    def check(self, jobs: int, size_bytes: int) -> None:
        """Raise Invalid or TooLarge for one enqueue that alone exceeds a limit: a client must not repeat it."""
        if 0 < self.jobs < jobs:
            raise Invalid(f"A group may have {self.jobs} unfinished jobs at most.", fields="jobs")
        if 0 < self.bytes < size_bytes:
            raise TooLarge(f"The unfinished jobs of a group may have {self.bytes} bytes at most.")


def limits_of(settings: BrokerSettings) -> GroupLimits:
    """The limits of every group at this broker."""
    return GroupLimits(settings.max_group_jobs, settings.max_group_bytes)
