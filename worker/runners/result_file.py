"""The files that TITAN_RESULT and TITAN_PROGRESS name: a command writes its result, and how far it is, into them."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from worker.jobs.progress import LAST_BYTES, JobProgress
from worker.runners.results import MAX_RESULT_BYTES, NO_RESULT, JobResult, result_of_text

RESULT, PROGRESS, INPUTS = "TITAN_RESULT", "TITAN_PROGRESS", "TITAN_INPUTS"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ReportFile(NamedTuple):
    """A file that a command may write. `path` is "" where no file can be made: then the command has none."""

    path: str
    uid: int

    def read(self, most_bytes: int, *, is_end: bool = False) -> bytes:
        """The first bytes of it, or the last; b"" if it is gone, or no longer a file of the command's user.

        The command may have put anything in its place, such as a link to a file that only this process may read.
        """
        try:
            descriptor = os.open(self.path, _FLAGS)
        except OSError:
            return b""
        try:
            found = os.fstat(descriptor)
            is_own_file = stat.S_ISREG(found.st_mode) and found.st_uid == self.uid
            start = max(0, found.st_size - most_bytes) if is_end else 0
            return os.pread(descriptor, most_bytes, start) if is_own_file else b""
        finally:
            os.close(descriptor)


@contextmanager
def report_file(uid: int | None, prefix: str) -> Iterator[ReportFile]:
    """An empty file that only this user may write; it is deleted after the block. None: the user of the worker."""
    path, owner = "", os.geteuid() if uid is None else uid
    try:
        with suppress(OSError):  # the disk is full or gone: the job runs without the file
            descriptor, made = tempfile.mkstemp(prefix=prefix)
            path = made
            with os.fdopen(descriptor, "wb"):
                if uid is not None:
                    os.fchown(descriptor, uid, -1)
        yield ReportFile(path, owner)
    finally:
        if path:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 -- a name, not a Path


def follow_progress(progress: JobProgress, file: ReportFile) -> None:
    """Read from now on how far the command is from this file."""
    if file.path:
        progress.read = partial(file.read, LAST_BYTES, is_end=True)


def result_in(file: ReportFile) -> JobResult:
    """The result that a command has written."""
    return result_of_text(file.read(MAX_RESULT_BYTES + 1)) if file.path else NO_RESULT
