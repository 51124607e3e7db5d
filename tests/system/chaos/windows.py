"""When a promise allows a loss: each fault appends the time in which the store could lose what it had answered.

How long such a time may be is a table of the topology, not a choice of the fault. A fault without an entry may lose
nothing.
"""

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

REPLICATION_LAG_S = 1.0
"""How far a replica may be behind when its primary dies, in s. What it answered within that time may be lost."""


class Loss(NamedTuple):
    """What a fault may lose: calls answered up to `before_s` before it and `after_s` after it."""

    before_s: float
    after_s: float = 0.0


class Span(NamedTuple):
    """The time of one call, from its first byte to its answer, and the partition that it was for."""

    partition: int
    begins_ms: float
    ends_ms: float


class Window(NamedTuple):
    """A time in which the store could lose what it had answered. `at_ms` is the time of the fault."""

    fault: str
    partitions: frozenset[int]
    at_ms: float
    begins_ms: float
    ends_ms: float

    def covers(self, span: Span) -> bool:
        """Whether a call of that time may be lost."""
        is_in_time = span.begins_ms <= self.ends_ms and span.ends_ms >= self.begins_ms
        return is_in_time and span.partition in self.partitions


class Windows:
    """The windows of a run. `losses` has what each fault may lose; one that is not in it may lose nothing."""

    def __init__(self, losses: Mapping[str, Loss] | None = None) -> None:
        self.all: list[Window] = []
        self._losses = losses or {}

    def add(self, fault: str, partitions: Iterable[int], at_ms: float | None = None) -> None:
        """A fault has just happened to these partitions. Raises KeyError if the table has no loss for it."""
        loss = self._losses[fault]
        at = time.time() * 1000 if at_ms is None else at_ms
        begins, ends = at - loss.before_s * 1000, at + loss.after_s * 1000
        self.all.append(Window(fault, frozenset(partitions), at, begins, ends))

    def covering(self, span: Span | None) -> Window | None:
        """The window in which a call was; None if nothing excuses its loss."""
        return next((window for window in self.all if span is not None and window.covers(span)), None)
