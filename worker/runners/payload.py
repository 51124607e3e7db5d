"""A job's payload as a file: one without a name for stdin, or one with a name for commands that want a path."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


def open_stdin(payload: bytes) -> IO[bytes]:
    """The payload as a file: a command that does not read it, or not all of it, does no harm."""
    file: IO[bytes]
    if not payload:
        return open(os.devnull, "rb")  # noqa: PTH123 -- a device
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("titan-payload"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
    file.write(payload)
    file.seek(0)
    return file


@contextmanager
def payload_file(payload: bytes, uid: int | None) -> Iterator[str]:
    """The path of a file with the payload, which that user may read; it is gone afterwards."""
    descriptor, path = tempfile.mkstemp(prefix="titan-payload-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            if uid is not None:
                os.fchown(file.fileno(), uid, -1)
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 -- a name, not a Path
