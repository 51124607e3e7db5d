"""The payload of a job as a file: without a name for stdin, or with a path for commands that need one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def stdin_of(payload: bytes) -> Iterator[int]:
    """A descriptor of a file with the payload. A command need not read it, unlike a pipe."""
    descriptor = _filled(payload) if payload else os.open(os.devnull, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def payload_file(payload: bytes, uid: int | None, what: str = "payload") -> Iterator[str]:
    """The path of a file with the payload, or the inputs, readable for that user; it is deleted after the block.

    Raises OSError that says what failed.
    """
    path = ""
    try:
        try:
            descriptor, path = tempfile.mkstemp(prefix=f"titan-{what}-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
                if uid is not None:
                    os.fchown(file.fileno(), uid, -1)
        except OSError as error:
            folder = f" in {tempfile.tempdir!r}" if tempfile.tempdir else ""
            said = f"its {what} cannot be put into a file{folder}: {error.strerror}"
            raise OSError(error.errno, said) from error
        yield path
    finally:
        with suppress(OSError):  # the file or its disk is gone
            os.unlink(path)  # noqa: PTH108 -- a name, not a Path


def _filled(payload: bytes) -> int:
    """A file without a name, positioned at its start."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.write(payload)
            file.seek(0)
            return os.dup(file.fileno())
    descriptor, written = os.memfd_create("titan-payload"), 0
    try:
        while written < len(payload):  # a write may be partial when memory is low
            written += os.pwrite(descriptor, payload[written:], written)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
