"""Live views: the answer of a GET as server-sent events, sent again when it changes.

A view is computed once every 2 s for all clients that watch it with the same permissions. A client that is slow gets
the newest answer only; one that reads nothing for 10 s is dropped.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple, Protocol

from broker.auth.grants import Grant
from broker.core.errors import Invalid, LimitReached, NotFound, StoreUnavailable, TitanError, TooLarge
from broker.core.words import counted
from broker.http.error_responses import response_to
from broker.http.request.body import Request
from broker.metrics.exposition import Family, Sample, gauge

EVERY_S = 2.0
"""The time between two computations of a view."""
AGAIN_S = 0.5
"""The time until a view is computed again after a fault, so that it is back soon after the store."""
PING_S = 15.0
"""While nothing changes a comment is sent this often; and the token of each client is checked again."""
MOST_BYTES = 64 * 1024
"""The longest answer that is sent. A client reads a longer one with GET."""
_COMMENT = b": \n\n"

_VIEW = re.compile(r"(overview|workers|group|job|batch|bulk)(?::([A-Za-z0-9_/-]*))?(?:\?(.*))?", re.ASCII | re.DOTALL)
_PATHS = {
    ("overview", 0): "/v1/overview",
    ("workers", 0): "/v1/workers",
    ("group", 1): "/v1/groups/{}",
    ("job", 2): "/v1/groups/{}/jobs/{}",
    ("batch", 2): "/v1/groups/{}/batches/{}",
    ("bulk", 1): "/v1/bulk/{}",
}
"""The GET of each kind of view, by its number of names."""


class ViewPath(NamedTuple):
    """The GET whose answer a view has."""

    path: str
    query: str


class Answer(Protocol):
    """Computes the body of a GET, masked for a session. Raises its refusal."""

    async def __call__(self, view: ViewPath, grant: Grant, *, is_masked: bool) -> bytes:
        """The body."""


async def _admit(_: Request, __: Grant) -> None:
    """Admit every client."""


def view_path(view: str) -> ViewPath:
    """The GET of a view. Raises Invalid."""
    found = _VIEW.fullmatch(view)
    names = found[2].split("/") if found and found[2] else []
    path = found and _PATHS.get((found[1], len(names)))
    if not found or path is None or not all(names):
        raise Invalid(
            "view must be overview, workers, group:NAME, job:NAME/ID, batch:NAME/ID or bulk:ID.", fields="view"
        )
    return ViewPath(path.format(*names), found[3] or "")


class LiveViews:
    """All views that are watched at this broker, by `most` clients at once.

    The front end sets `answer`, and `check`, which raises an error for a request whose token is no longer valid.
    """

    def __init__(self, most: int) -> None:
        self.answer: Answer | None = None
        self.check: Callable[[Request, Grant], Awaitable[None]] = _admit
        self._most = most
        self._watchers = 0
        self._views: dict[tuple[ViewPath, Grant, bool], _View] = {}
        self._is_stopped = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one client inside the block. Raises LimitReached."""
        if self._watchers >= self._most:
            raise LimitReached(f"This broker has {counted(self._most, 'client')} of live views already.")
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    async def events(self, path: ViewPath, grant: Grant, request: Request, *, is_masked: bool) -> AsyncIterator[bytes]:
        """The answers as events, until the broker stops or the token of the request has ended.

        Raises the refusal of the first answer.
        """
        key = (path, grant, is_masked)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = _View(partial(self._body, path, grant, is_masked=is_masked))
        with view.watched() as changed:
            try:
                seen = await view.first()
                changed.clear()
                yield seen
                while await self._wait(changed):
                    try:
                        await self.check(request, grant)
                    except StoreUnavailable:
                        pass  # a session cannot be read now; the view has the same problem
                    except TitanError as fault:
                        yield _problem(fault)
                        return
                    if view.content is seen:
                        yield _COMMENT
                    else:
                        seen = view.content
                        yield seen
            finally:
                if view.n_watchers == 1 and self._views.get(key) is view:
                    del self._views[key]

    def stop(self) -> None:
        """End every stream."""
        self._is_stopped = True
        for view in self._views.values():
            view.wake()

    def families(self) -> list[Family]:
        """The number of clients, as a metric."""
        return [gauge("titan_live_watchers", "Clients that watch a live view.", [Sample(self._watchers)])]

    async def _wait(self, changed: asyncio.Event) -> bool:
        """Wait for a change, or until a comment is due; False when the broker stops."""
        if not self._is_stopped:
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await changed.wait()
        changed.clear()
        return not self._is_stopped

    async def _body(self, path: ViewPath, grant: Grant, *, is_masked: bool) -> bytes:
        if self.answer is None:
            raise NotFound("This broker has no live views.")
        body = await self.answer(path, grant, is_masked=is_masked)
        if len(body) > MOST_BYTES:
            raise TooLarge(f"The answer has {len(body)} bytes, a live view {MOST_BYTES} at most: read it with GET.")
        return body


class _View:
    """One view: computes its answer while anybody watches. `content` is the newest event."""

    def __init__(self, body: Callable[[], Awaitable[bytes]]) -> None:
        self.content = b""
        self._body = body
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first.add_done_callback(lambda first: first.cancelled() or first.exception())
        self._events: set[asyncio.Event] = set()
        self._computing: asyncio.Task[None] | None = None

    @property
    def n_watchers(self) -> int:
        """The number of clients."""
        return len(self._events)

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """An event that is set at each change inside the block."""
        changed = asyncio.Event()
        self._events.add(changed)
        if self._computing is None:
            self._computing = asyncio.create_task(self._compute_while_watched())
        try:
            yield changed
        finally:
            self._events.discard(changed)
            if not self._events:
                self._computing.cancel()

    async def first(self) -> bytes:
        """The newest event, or the first one as soon as there is one. Raises the refusal of the first answer."""
        await asyncio.shield(self._first)
        return self.content

    def wake(self) -> None:
        """Wake all clients."""
        for changed in self._events:
            changed.set()

    async def _compute_while_watched(self) -> None:
        while True:
            rest_s = EVERY_S
            try:
                content = _event(b"", await self._body())
            except Exception as fault:  # noqa: BLE001 - clients get nothing but the error body
                if not self._first.done():
                    self._first.set_exception(fault)
                    return
                content, rest_s = _problem(fault), min(AGAIN_S, EVERY_S)
            if content != self.content:
                self.content = content
                self.wake()
            if not self._first.done():
                self._first.set_result(None)
            await asyncio.sleep(rest_s)


def _problem(fault: Exception) -> bytes:
    return _event(b"event: problem\n", response_to(fault, "GET", "/v1/live", lambda: "all watchers").body)


def _event(head: bytes, body: bytes) -> bytes:
    return b"%bdata: %b\n\n" % (head, body.replace(b"\n", b"\ndata: "))
