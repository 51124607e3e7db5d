"""Metrics of this process: how late its event loop is, and its CPU time, memory and open files."""

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

from broker.core.version import own_version
from broker.metrics.exposition import Family, Histogram, Sample, counter, gauge, histogram

STEP_S = 0.02
"""The interval of the timer. A stall is measured as its length minus this at worst."""
WINDOW_S = 30.0

_STARTED_AT = time.time()
_RSS_BYTES = 1 if sys.platform == "darwin" else 1024


class LoopLag:
    """Measures how late a timer of the event loop is. A late loop delays every request of this broker."""

    def __init__(self) -> None:
        self._times = Histogram()
        self._longest_s = 0.0
        self._longest_before_s = 0.0
        self._window_ends = time.monotonic() + WINDOW_S

    @property
    def longest_s(self) -> float:
        """The longest lag of this window and the one before: of the last 30 to 60 s."""
        return max(self._longest_s, self._longest_before_s)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + STEP_S
            await asyncio.sleep(STEP_S)
            self.observe(max(0.0, time.monotonic() - due))

    def observe(self, seconds: float) -> None:
        """Count one lag."""
        self._times.observe(seconds)
        now = time.monotonic()
        if now > self._window_ends:
            self._longest_before_s, self._longest_s, self._window_ends = self._longest_s, 0.0, now + WINDOW_S
        self._longest_s = max(self._longest_s, seconds)

    def families(self) -> list[Family]:
        """The lag as measured 50 times a second, and the longest of the last minute."""
        longest = [Sample(self.longest_s)]
        return [
            histogram("titan_loop_lag_seconds", "How late the event loop was, 50 looks a second.", [({}, self._times)]),
            gauge("titan_loop_lag_max_seconds", "The longest lag of the last minute.", longest, "each"),
        ]


def own_build() -> list[Family]:
    """Which version runs, as a label."""
    return [gauge("titan_build_info", "1, with the version as label.", [Sample(1, {"version": own_version()})], "max")]


def usage() -> list[Family]:
    """CPU time, memory, open files and start time, under the names that Prometheus clients use."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    rows = [
        counter("process_cpu_seconds_total", "CPU time, in s.", [Sample(used.ru_utime + used.ru_stime)], "each"),
        gauge("process_start_time_seconds", "When it started, in s since 1970.", [Sample(_STARTED_AT)], "each"),
        gauge("titan_resident_max_bytes", "Peak memory.", [Sample(used.ru_maxrss * _RSS_BYTES)], "each"),
    ]
    fds = Path("/proc/self/fd")
    if fds.is_dir():
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        n_files = len(os.listdir(fds))  # noqa: PTH208 - a tenth of the cost
        rows.append(gauge("process_open_fds", "Open files and connections.", [Sample(n_files)], "each"))
        rows.append(gauge("process_resident_memory_bytes", "Memory in use.", [Sample(resident)], "each"))
    return rows
