"""A process of the pool, as a program: `python -m worker.runners.pooled SOCKET APP…`. It ends with its socket."""

import socket
import sys
import traceback

from broker.models.jobs import Job
from worker import handlers
from worker.config import with_variables
from worker.outcome import Outcome
from worker.runners.environment import as_bytes, environment_of
from worker.runners.exchange import HEAD, Reply, Request, length_of, packed, reply_of, request_in


def main(words: list[str]) -> None:
    """Import the apps, then carry out one request after the other."""
    handlers.load(words[1:])
    with socket.socket(fileno=int(words[0])) as link:
        link.set_inheritable(False)  # it is no business of the programs that a function starts
        while head := _read(link, HEAD.size):
            reply = _carried_out(request_in(_read(link, length_of(head))))
            sys.stdout.flush()
            sys.stderr.flush()
            link.sendall(packed(reply))


def _carried_out(request: Request) -> Reply:
    with with_variables(as_bytes(environment_of(request.job, {}))):
        return reply_of(_outcome(request.handler, request.job))


def _outcome(name: str, job: Job) -> Outcome:
    handler = handlers.find(name)
    try:
        result = handlers.called(handler, job)
    except BaseException as error:  # noqa: BLE001 -- the handler's own, whatever it is
        traceback.print_exc()
        return handlers.failed(error)
    outcome, text = handlers.outcome(result)
    sys.stdout.write(text)
    return outcome


def _read(link: socket.socket, size: int) -> bytes:
    """So many bytes; none at the end."""
    content = bytearray()
    while len(content) < size:
        piece = link.recv(size - len(content))
        if not piece:
            return b""
        content += piece
    return bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:])
