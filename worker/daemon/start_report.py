"""What a worker logs when it starts: who it is, where, and what it runs; and which of its programs do not exist."""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from broker.core.events import event
from broker.core.version import own_version
from broker.core.words import counted
from worker.host import host_name
from worker.settings import WorkerSettings
from worker.table.entries import ProcessEntry
from worker.table.table import Table

_MOST_NAMES = 10
"""How many names of groups or images a line has."""

_log = logging.getLogger(__name__)


def report_start(settings: WorkerSettings, name: str, table: Table) -> None:
    """Log the worker, its broker, its groups, images and slots, and warn of programs that do not exist."""
    urls = ", ".join(re.sub(r"//[^/@]*@", "//", url) for url in settings.broker_url)
    started = event("worker.started", worker=name, version=own_version())
    _log.info("worker %s of Titan %s on %s, broker %s", name, own_version(), host_name(), urls, extra=started)
    groups = _some(settings.group) if settings.group else "all"
    slots = counted(settings.concurrency, "slot")
    _log.info("groups: %s; images: %s; %s", groups, _some(_images(table)), slots)
    warn_of_missing_programs(table)


def warn_of_missing_programs(table: Table) -> None:
    """Warn of each command of the table whose program does not exist; its jobs fail with the reason not_started."""
    for image, program in missing_programs(table):
        _log.warning("image %.255r: the program %.255r is not found; its jobs will fail", image, program)


def missing_programs(table: Table) -> Iterator[tuple[str, str]]:
    """Images and their programs that are not on PATH, or that are no executable file."""
    for image, entry in table.named.items():
        if isinstance(entry, ProcessEntry) and not _exists(entry):
            yield image, entry.argv[0]


def _exists(entry: ProcessEntry) -> bool:
    program = entry.argv[0]
    if "/" in program:
        return os.access(Path(entry.cwd or ".") / program, os.X_OK)
    return shutil.which(program, path=entry.env.get("PATH") or None) is not None


def _images(table: Table) -> list[str]:
    addresses = [str(address) for address, _ in table.addresses]
    return [*table.named, *addresses, *(pattern for pattern, _ in table.patterns)]


def _some(names: Sequence[str]) -> str:
    """The first names, and how many others there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
