"""The order in which `next` of any group asks the partitions: those that had more jobs at their last answer come first.

So a store with many partitions, of which few have jobs, costs `next` little more than one with a single partition.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence

EMPTY_S = 0.1
"""How long a partition that ran out of jobs is asked last, in s. Then one `next` asks it first, and it waits again."""


class PartitionOrder:
    """What this broker knows of the partitions: which ones may have jobs, and which ones had none left."""

    def __init__(self, names: Sequence[str]) -> None:
        self._with_jobs = list(names)
        self._empty: dict[str, float] = {}  # until when each is asked last, the earliest first
        self._turn = 0
        self._first = ""

    def first(self) -> str:
        """The partition to ask first.

        Calls of one loop iteration get the same one, so that they share a script call. At most one of them gets a
        partition that was empty long enough ago instead.
        """
        if self._first:
            return self._first
        self._turn += 1
        self._first = self._rotated()[0] if self._with_jobs else next(iter(self._empty))
        asyncio.get_running_loop().call_soon(self._end_turn)
        name = next(iter(self._empty), "")
        if not name or self._empty[name] > time.monotonic():
            return self._first
        self.note(name, is_empty=True)  # other calls do not ask it first too
        return name

    def others(self, first: str) -> Iterator[str]:
        """The other partitions, each once: those that may have jobs in turn, then those that were empty."""
        return (name for name in (*self._rotated(), *self._empty) if name != first)

    def note(self, name: str, *, is_empty: bool) -> None:
        """Note the answer of a partition: whether it returned fewer jobs than it was asked for."""
        was_empty = self._empty.pop(name, None) is not None
        if is_empty:
            self._empty[name] = time.monotonic() + EMPTY_S
            if not was_empty:
                self._with_jobs.remove(name)
        elif was_empty:
            self._with_jobs.append(name)

    def _rotated(self) -> list[str]:
        first = self._turn % (len(self._with_jobs) or 1)
        return self._with_jobs[first:] + self._with_jobs[:first]

    def _end_turn(self) -> None:
        self._first = ""
