"""A process of the pool, as a program: `python -m worker.runners.pool_child SOCKET APP…`. It ends with its socket."""

import os
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from titan.tracing import attached
from worker.jobs.outcome import Outcome
from worker.jobs.progress import said_of
from worker.jobs.texts import encoded
from worker.runners.environment import as_bytes, environment_of, trace_of_job
from worker.runners.function_result import exception_outcome, outcome_of
from worker.runners.pool_protocol import LENGTH, Reply, Request, decode_request, encode, length_of, reply_of
from worker.settings import with_variables
from worker.table import functions

_STDOUT, _STDERR = 1, 2
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def main(arguments: list[str]) -> None:
    """Import the apps, then carry out requests one by one."""
    sys.stdout, sys.stderr = _streams
    functions.load(arguments[1:])
    with socket.socket(fileno=int(arguments[0])) as connection:
        connection.set_inheritable(False)  # programs of a function must not inherit it
        while header := _read(connection, LENGTH.size):
            reply = _run_request(decode_request(_read(connection, length_of(header))))
            connection.sendall(encode(reply))


def _run_request(request: Request) -> Reply:
    before, pid = _changeable_state(), os.getpid()
    with with_variables(as_bytes(environment_of(request.job, {}))):
        outcome, text = _outcome(request)
    if os.getpid() != pid:
        os._exit(0)  # a child that the function forked
    is_whole = _flush(text)
    return reply_of(outcome, needs_replacement=not is_whole or _changeable_state() != before)


def _outcome(request: Request) -> tuple[Outcome, bytes]:
    """The outcome of the function, and the text that is added to its output."""
    try:
        say = partial(_say, Path(request.progress_path))
        with attached(trace_of_job(request.job)):
            return outcome_of(functions.call(functions.find(request.handler), request.job, say, request.inputs))
    except BaseException as error:  # noqa: BLE001 -- the handler's own, whatever it is
        return exception_outcome(error)


def _say(path: Path, percent: float | None = None, note: str = "") -> None:
    """Write how far the job is into the file that the worker reads. Without the file nobody learns it."""
    said = said_of(percent, note)
    line = f"{'' if said.percent is None else said.percent} {' '.join(said.note.split())}\n"
    with suppress(OSError):
        path.write_bytes(encoded(line))


def _flush(text: bytes) -> bool:
    """Write the buffered output; whether that worked."""
    is_whole = True
    for stream in (sys.stdout, sys.stderr, *_streams):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001 -- closed, or replaced by an object of the function
            is_whole = False
    try:
        while text:
            text = text[os.write(_STDOUT, text) :]
    except OSError:  # the function has closed it
        return False
    return is_whole


def _changeable_state() -> tuple[object, ...]:
    """The state of the process that a function could change to the harm of the next one."""
    try:
        cwd = str(Path.cwd())
    except OSError:  # it was removed
        cwd = ""
    handlers_of_signals = [signal.getsignal(number) for number in signal.valid_signals()]
    timers = [signal.getitimer(timer) != (0.0, 0.0) for timer in _TIMERS]
    return (
        cwd,
        id(sys.stdout),
        id(sys.stderr),
        handlers_of_signals,
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        timers,
    )


def _stream(descriptor: int, buffering: int) -> TextIOWrapper:
    """A standard stream that accepts every text, whatever the locale."""
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=buffering, closefd=False)


def _read(connection: socket.socket, size: int) -> bytes:
    """Read this many bytes; b"" at the end."""
    content = bytearray()
    while len(content) < size:
        piece = connection.recv(size - len(content))
        if not piece:
            return b""
        content += piece
    return bytes(content)


_streams = (_stream(_STDOUT, -1), _stream(_STDERR, 1))

if __name__ == "__main__":
    main(sys.argv[1:])
