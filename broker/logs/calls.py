"""Counts and times the calls of the log store, and turns their errors into one."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from broker.core.errors import StoreUnavailable
from broker.metrics.exposition import Family, Histogram, Sample, counter, histogram

_CALLS = {"write": "took no log", "read": "gave no log", "find": "found no log", "delete": "deleted no log"}
"""Each kind of call, and what it did when it failed."""

_log = logging.getLogger(__name__)


class LogStoreUnavailable(StoreUnavailable):
    """The log store does not answer, or refuses a request. Requests that need no log still work."""


class LogStoreCalls:
    """The calls of one log store. `stored_bytes`: the size of all logs that it took."""

    def __init__(self) -> None:
        self.stored_bytes = 0
        self._times = {call: Histogram() for call in _CALLS}
        self._failures: Counter[str] = Counter(dict.fromkeys(_CALLS, 0))

    @contextmanager
    def of(self, call: str) -> Iterator[None]:
        """Time a call inside the block. Errors of obstore become LogStoreUnavailable; the cause is only logged."""
        began = time.monotonic()
        try:
            yield
        except (BaseError, OSError, ValueError) as fault:
            what = _CALLS[call]
            self._failures[call] += 1
            _log.warning("the log store %s: %s", what, first_line(fault))
            raise LogStoreUnavailable(f"The log store is not available: it {what}.") from fault
        except LogStoreUnavailable:
            self._failures[call] += 1
            raise
        finally:
            self._times[call].observe(time.monotonic() - began)

    def families(self) -> list[Family]:
        """The metrics of the log store."""
        times = [({"call": call}, row) for call, row in self._times.items()]
        failed = [Sample(n, {"call": call}) for call, n in self._failures.items()]
        return [
            counter("titan_log_bytes_total", "Bytes of logs that the log store took.", [Sample(self.stored_bytes)]),
            counter("titan_log_store_failures_total", "Calls of the log store that failed.", failed),
            histogram("titan_log_store_seconds", "Time of a call of the log store.", times),
        ]


def first_line(error: Exception) -> str:
    """The first line of an error; those of obstore have many."""
    return str(error).partition("\n")[0]
