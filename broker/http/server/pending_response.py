"""Where the answers of a connection wait for their turn, and what fills them."""

from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from broker.http.responses import Response
from broker.http.server.fast_request import FastRequest


class Work(Protocol):
    """What answers a request; cancelling it tells that the client is gone."""

    def cancel(self) -> object:
        """Stop, as far as that does no harm."""


class DispatchesRequests(Protocol):
    """Who answers plain requests."""

    most_body_bytes: int
    head_s: float
    """How long the head of a request may take to come."""

    @property
    def is_stopping(self) -> bool:
        """Whether no connection is kept any more."""

    def begin(self, request: FastRequest, slot: "PendingResponse") -> bool:
        """Begin to answer, and have the slot filled; False for a request that aiohttp must answer."""

    def ended(self, slot: "PendingResponse", status: int) -> None:
        """Be told that a request has had its answer, or that its client is gone."""


class PendingResponse:
    """The place of one answer in the order of a connection."""

    __slots__ = ("_fill", "answer", "began", "is_gone", "route", "weight", "work")

    def __init__(self, fill: Callable[[], None]) -> None:
        self._fill = fill
        self.began = perf_counter()
        self.route = -1
        self.weight = 0
        self.work: Work | None = None
        self.answer: Response | None = None
        self.is_gone = False

    def begin(self, work: Work) -> None:
        """Have what answers the request be told when the client leaves; unless it has answered already."""
        if self.answer is None:
            self.work = work

    def leave(self) -> None:
        """The client is gone: stop, or undo what it will not see."""
        self.is_gone = True
        work, self.work = self.work, None
        if self.answer is not None:
            self._undo(self.answer)
        elif work is not None:
            work.cancel()

    def fill(self, answer: Response | None, _: BaseException | None) -> None:
        """Take the answer; None when it was cancelled, since the client is gone."""
        self.answer, self.work = answer, None  # the work holds the slot: a circle would keep the answer for long
        if answer is not None and self.is_gone:
            self._undo(answer)
        elif answer is not None:
            self._fill()

    def _undo(self, answer: Response) -> None:
        if answer.unsent is not None:
            answer.unsent()
