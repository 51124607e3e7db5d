"""A job's payload as a file: one without a name for stdin, or one with a name for commands that want a path."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def stdin_of(payload: bytes) -> Iterator[int]:
    """A descriptor of the payload as a file: a command that does not read it, or not all of it, does no harm."""
    descriptor = _filled(payload) if payload else os.open(os.devnull, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def payload_file(payload: bytes, uid: int | None) -> Iterator[str]:
    """The path of a file with the payload, which that user may read; it is gone afterwards.

    Raises OSError that says what could not be done.
    """
    path = ""
    try:
        try:
            descriptor, path = tempfile.mkstemp(prefix="titan-payload-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
                if uid is not None:
                    os.fchown(file.fileno(), uid, -1)
        except OSError as error:
            folder = f" in {tempfile.tempdir!r}" if tempfile.tempdir else ""
            said = f"its payload cannot be put into a file{folder}: {error.strerror}"
            raise OSError(error.errno, said) from error
        yield path
    finally:
        with suppress(OSError):  # it is gone, or its disk is
            os.unlink(path)  # noqa: PTH108 -- a name, not a Path


def _filled(payload: bytes) -> int:
    """A file without a name, to be read from its beginning."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.write(payload)
            file.seek(0)
            return os.dup(file.fileno())
    descriptor, written = os.memfd_create("titan-payload"), 0
    try:
        while written < len(payload):  # the system may take a part only, where memory is short
            written += os.pwrite(descriptor, payload[written:], written)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
