"""Runs the Lua scripts by SHA; loads them again by itself, raises refusals."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from redis import exceptions

from broker.core import errors
from broker.resp.replies_to_errors import spoken, told
from broker.resp.resp_connection import Word
from broker.resp.script_source import SCRIPTS
from broker.resp.topology import Topology

_AT_ONCE = 32
"""Plain commands of one caller that are under way together. With that 300 callers, as many as a broker serves at a time
by default, stay within what a wire may have unanswered."""


class ScriptCall(NamedTuple):
    """One run of a script in one partition."""

    verb: str
    partition: str
    arguments: Sequence[Word]


class Scripts:
    """Runs scripts on the servers of their partitions. `is_plain` leaves `#!lua` out, for fakeredis.

    `on_late` is called when scripts ran late, since the store did not know them: what was sent behind them came first.
    """

    def __init__(self, topology: Topology, *, is_plain: bool = False) -> None:
        self.on_late: Callable[[], None] | None = None
        self._topology = topology
        self._texts = {name: script.plain if is_plain else script.text for name, script in SCRIPTS.items()}
        self._shas = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._texts.items()
        }

    async def run(self, verb: str, partition: str, *arguments: Word) -> Any:
        """The script's reply. Raises the refusal it answered, StoreFull or StoreUnavailable.

        What was sent is carried out even when who asked for it is gone; unless the store did not know the script: then
        nothing was done, and nobody asks again. Loading and running it take no longer than the one call may.
        """
        began = time.monotonic()
        try:
            return await self._topology.call(partition, "EVALSHA", self._shas[verb], 1, partition, *arguments)
        except exceptions.NoScriptError:
            due = began + self._topology.timeout_s  # it did not run: below it is loaded first
        except exceptions.RedisError as fault:
            raise told(fault) from fault
        [reply] = await self.run_all([ScriptCall(verb, partition, arguments)], due)
        if isinstance(reply, errors.TitanError):
            raise reply
        return reply

    async def send(self, partition: str, commands: Sequence[Sequence[Word]]) -> None:
        """Plain commands, in order; their replies are of no interest. Raises StoreFull, StoreUnavailable."""
        call = self._topology.call
        for at in range(0, len(commands), _AT_ONCE):
            await spoken(asyncio.gather(*[call(partition, *words) for words in commands[at : at + _AT_ONCE]]))

    async def field(self, partition: str, key: str, name: str) -> bytes | None:
        """One field of a hash, in half of the time of a call, since one follows. Raises StoreUnavailable."""
        due = time.monotonic() + self._topology.timeout_s / 2
        return cast("bytes | None", await spoken(_by(due, self._topology.call(partition, "HGET", key, name))))

    async def run_all(self, calls: Sequence[ScriptCall], due: float | None = None) -> list[Any]:
        """The replies to several calls, sent together; a refusal stands in its place.

        A call that has begun is carried through even when who asked for it is gone. `due` is when the store must have
        answered all of it, by the monotonic clock in s; without it that is the time that one call may take.
        """
        sending = asyncio.create_task(self._send(calls, due or time.monotonic() + self._topology.timeout_s))
        sending.add_done_callback(_seen)
        replies = await asyncio.shield(sending)
        for reply in replies:
            if isinstance(reply, errors.StoreUnavailable | errors.StoreFull):
                raise reply
        return replies

    async def _send(self, calls: Sequence[ScriptCall], due: float) -> list[Any]:
        replies = await spoken(self._call_all(calls, due))
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            for verb in {calls[i].verb for i in missing}:
                await spoken(_by(due, self._topology.call_all("SCRIPT", "LOAD", self._texts[verb])))
            for i, reply in zip(missing, await spoken(self._call_all([calls[i] for i in missing], due)), strict=True):
                replies[i] = reply
            if self.on_late is not None:
                self.on_late()
        return [told(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _call_all(self, calls: Sequence[ScriptCall], due: float) -> list[Any]:
        """The replies, errors among them; a connection that was lost on the way is raised."""
        call = self._topology.call
        replies = [call(c.partition, "EVALSHA", self._shas[c.verb], 1, c.partition, *c.arguments) for c in calls]
        answers = await asyncio.gather(*[_by(due, reply) for reply in replies], return_exceptions=True)
        for answer in answers:
            if isinstance(answer, exceptions.ConnectionError | exceptions.TimeoutError):
                raise answer
        return answers


def _by(due: float, reply: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """The reply; one that is not there when it is due, by the monotonic clock in s, is a TimeoutError of redis-py."""

    def late() -> None:
        if not reply.done():
            reply.set_exception(exceptions.TimeoutError("what several calls may take together is over"))

    timer = reply.get_loop().call_later(due - time.monotonic(), late)
    reply.add_done_callback(lambda _: timer.cancel())
    return reply


def _seen(sending: asyncio.Task[list[Any]]) -> None:
    """A fault that comes after its caller is gone is nobody's, and asyncio need not log it."""
    if not sending.cancelled():
        sending.exception()
