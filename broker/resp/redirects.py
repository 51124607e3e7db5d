"""Repeats calls that a node of a cluster refused because their slot moves. What was refused was not executed.

MOVED: the call is sent once to the node that the reply names, and later calls go there too.

ASK: some keys of the slot may already be at the other node. A script uses many keys of its partition, so it may run
there only when all have arrived: the old node is asked for the number that it still has. A script that ran earlier
would see half a partition, and what it writes would collide with keys that follow. Until then the call is repeated.

TRYAGAIN is the same for a command of several keys, so such a call is repeated too. Nothing is repeated after the time
limit of the call; its error is then the last refusal.
"""

import asyncio
import time
from typing import Any, cast

import hiredis
from redis import exceptions

from broker.resp.cluster_watch import ClusterWatch
from broker.resp.moving_server import MovingServer
from broker.resp.multiplexer import Multiplexer
from broker.resp.resp_connection import Word
from broker.resp.script_source import SCRIPTS
from broker.resp.seeds import Place

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.01, 0.1
_COUNT_S = 0.01
"""How long the number of keys that are left at the old node is used, in s."""


class Links:
    """Connections to nodes by their addresses, shared by all partitions, for calls while a slot moves."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._open: dict[Place, Multiplexer] = {}

    def to(self, place: Place) -> Multiplexer:
        """The connection to the node at this address."""

        async def resolve() -> Place:
            return place

        if place not in self._open:
            self._open[place] = Multiplexer(self._url, timeout_s=self._timeout_s, resolve=resolve)
        return self._open[place]

    async def close(self) -> None:
        """Close them."""
        for link in self._open.values():
            await link.close()


class Redirects:
    """The repeated calls of one partition. `refused` is the `on_error` of its multiplexer."""

    def __init__(
        self, watch: ClusterWatch, server: MovingServer, multiplexer: Multiplexer, slot: int, links: Links
    ) -> None:
        self._watch = watch
        self._server = server
        self._multiplexer = multiplexer
        self._slot = slot
        self._links = links
        self._tasks: set[asyncio.Task[None]] = set()
        self._repeated: set[asyncio.Future[Any]] = set()
        self._left: tuple[Place, float, asyncio.Future[int]] | None = None

    def refused(self, error: Exception, command: bytes, reply: asyncio.Future[Any], due: float) -> bool:
        """Take over a call that was refused because its slot moves. `due` is its deadline by the monotonic clock."""
        if not isinstance(error, exceptions.AskError | exceptions.TryAgainError):
            return self._server.refused(error)
        source = self._server.place
        if isinstance(error, exceptions.MovedError) and source is not None:
            self._watch.moved(self._slot, _named(error, source), f"{source[0]}:{source[1]}")
        if reply in self._repeated:
            if not reply.done():
                reply.set_exception(error)
        elif not reply.done():
            task = asyncio.create_task(self._finish(error, source, _words(command), reply, due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Stop repeating; each call fails."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish(
        self, error: Exception, source: Place | None, words: list[Word], reply: asyncio.Future[Any], due: float
    ) -> None:
        """Set the reply to the answer of the repeated call, or to its last error."""
        try:
            answer = await self._repeat(error, source, words, reply, due)
        except exceptions.RedisError as fault:
            if not reply.done():
                reply.set_exception(fault)
        except asyncio.CancelledError:
            if not reply.done():
                reply.set_exception(exceptions.ConnectionError("the store is closed"))
            raise
        else:
            if not reply.done():
                reply.set_result(answer)

    async def _repeat(
        self, error: Exception, source: Place | None, words: list[Word], reply: asyncio.Future[Any], due: float
    ) -> Any:
        pause_s = 0.0 if isinstance(error, exceptions.MovedError) else _FIRST_PAUSE_S
        while not reply.done() and time.monotonic() + pause_s < due:
            await asyncio.sleep(pause_s)
            pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LAST_PAUSE_S)
            try:
                async with asyncio.timeout(due - time.monotonic()):
                    return await self._send_again(error, source, words)
            except (exceptions.AskError, exceptions.TryAgainError) as again:
                error, source = again, self._server.place
            except TimeoutError as late:
                raise exceptions.TimeoutError("the time limit of the call has passed") from late
        raise error

    async def _send_again(self, error: Exception, source: Place | None, words: list[Word]) -> Any:
        is_asked = type(error) is exceptions.AskError and source == self._server.place
        if is_asked and source is not None and await self._keys_left(source) == 0:
            return await _send_asking(self._links.to(_named(cast("exceptions.AskError", error), source)), words)
        again = self._multiplexer.call(*words)
        self._repeated.add(again)
        again.add_done_callback(self._repeated.discard)
        return await again

    async def _keys_left(self, source: Place) -> int:
        """How many keys of the slot the old node still has. Callers at the same time share the answer."""
        if self._left is None or self._left[0] != source or time.monotonic() - self._left[1] > _COUNT_S:
            counted = self._links.to(source).call("CLUSTER", "COUNTKEYSINSLOT", self._slot)
            self._left = source, time.monotonic(), counted
        return await asyncio.shield(self._left[2])


async def _send_asking(link: Multiplexer, words: list[Word]) -> Any:
    """Send a call with ASKING before it. A script that the node does not know yet is loaded first."""
    try:
        return await _asking(link, words)
    except exceptions.NoScriptError:
        text = next((script.text for script in SCRIPTS.values() if script.sha.encode() == words[1]), None)
        if text is None:
            raise
        await link.call("SCRIPT", "LOAD", text)
    return await _asking(link, words)


async def _asking(link: Multiplexer, words: list[Word]) -> Any:
    allowed, reply = (
        link.call("ASKING"),
        link.call(*words),
    )  # without a wait between them: one connection, in this order
    _, answer = cast("list[Any]", await asyncio.gather(allowed, reply, return_exceptions=True))
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _words(command: bytes) -> list[Word]:
    reader = hiredis.Reader()
    reader.feed(command)
    words: list[Word] = reader.gets()
    return words


def _named(error: exceptions.AskError, source: Place) -> Place:
    """The node that the reply names. Without a host it has the host of the node that replied."""
    host, port = error.node_addr
    return (host or source[0], int(port))
