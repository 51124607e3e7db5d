"""A response that waits for its turn on a connection, and the interface of the dispatcher that makes it."""

from time import perf_counter
from typing import Protocol

from broker.core.errors import TitanError
from broker.http.responses import Response
from broker.http.server.fast_request import FastRequest


class Work(Protocol):
    """The work that answers a request, such as a task."""

    def cancel(self) -> object:
        """Stop, because the client is gone."""


class DispatchesRequests(Protocol):
    """Answers fast requests."""

    most_body_bytes: int
    head_s: float
    """How long the head of a request may take to arrive."""

    @property
    def is_stopping(self) -> bool:
        """Whether each connection closes after its next response."""

    def start(self, request: FastRequest, pending: "PendingResponse") -> bool:
        """Start to answer, and fill the response later. Returns False for a request that aiohttp must answer."""

    def refusal(self, error: TitanError) -> Response:
        """The response to input that is no request."""

    def ended(self, pending: "PendingResponse", status: int) -> None:
        """Count a request whose response was written, or whose client is gone."""


class WritesResponses(Protocol):
    """A connection, as its responses see it."""

    @property
    def peer(self) -> str:
        """The address of the other end; '' when it is gone."""

    def schedule_write(self) -> None:
        """Write the responses that are filled and whose turn it is."""


class PendingResponse:
    """One response in the order of a connection, which writes it when it is filled.

    `request`: the id of its request. `by`: the name of its token. `access`: the request, if the access log has it.
    """

    __slots__ = ("_connection", "_work", "access", "by", "is_gone", "request", "response", "route", "started", "weight")

    def __init__(self, connection: WritesResponses) -> None:
        self._connection = connection
        self._work: Work | None = None
        self.started = perf_counter()
        self.route = -1
        self.weight = 0
        self.response: Response | None = None
        self.is_gone = False
        self.request = ""
        self.by = ""
        self.access: FastRequest | None = None

    @property
    def peer(self) -> str:
        """The address that sent the request; '' when it is gone."""
        return self._connection.peer

    def attach(self, work: Work) -> None:
        """Remember the work, so that it is cancelled when the client leaves; unless it is done already."""
        if self.response is None:
            self._work = work

    def abandon(self) -> None:
        """The client is gone: cancel the work, or undo the response that the client does not receive."""
        self.is_gone = True
        work, self._work = self._work, None
        if self.response is not None:
            _undo(self.response)
        elif work is not None:
            work.cancel()

    def fill(self, response: Response | None, _: BaseException | None) -> None:
        """Set the response. It is None when the work was cancelled, because the client is gone."""
        self.response, self._work = response, None  # the work refers to this object: a cycle would keep both for long
        if response is not None and self.is_gone:
            _undo(response)
        elif response is not None:
            self._connection.schedule_write()


def _undo(response: Response) -> None:
    if response.unsent is not None:
        response.unsent()
