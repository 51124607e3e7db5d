"""What this process uses: CPU, memory, open files; under the names that Prometheus' own clients give them."""

import os
import resource
import sys
import time
from pathlib import Path

from broker.metrics.exposition import Family, Sample, counter, gauge

_STARTED_AT = time.time()
_KIB = 1 if sys.platform == "darwin" else 1024


def usage() -> list[Family]:
    """CPU time, peak memory, open files and the start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    rows = [
        counter("process_cpu_seconds_total", "CPU time, in s.", [Sample(used.ru_utime + used.ru_stime)]),
        gauge("process_start_time_seconds", "When it started, in s since 1970.", [Sample(_STARTED_AT)]),
        gauge("titan_resident_max_bytes", "Most memory that it had so far.", [Sample(used.ru_maxrss * _KIB)]),
    ]
    fds = Path("/proc/self/fd")
    if fds.is_dir():
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        rows.append(gauge("process_open_fds", "Open files and connections.", [Sample(len(os.listdir(fds)))]))  # noqa: PTH208 - a tenth of the cost
        rows.append(gauge("process_resident_memory_bytes", "Memory that it has.", [Sample(resident)]))
    return rows
