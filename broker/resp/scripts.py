"""Runs the Lua scripts by SHA; loads them again by itself, raises refusals."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from redis import exceptions
from redis.asyncio import Redis

from broker.core import errors
from broker.resp.multiplexer import Wire
from broker.resp.replies_to_errors import spoken, told
from broker.resp.resp_connection import Word
from broker.resp.script_source import SCRIPTS
from broker.resp.wires import Wires

_AT_ONCE = 32
"""Plain commands of one caller that are under way together. With that 300 callers, as many as a broker serves at a time
by default, stay within what a wire may have unanswered."""


class Call(NamedTuple):
    """One run of a script in one partition."""

    verb: str
    partition: str
    arguments: Sequence[Word]


class Scripts:
    """Runs scripts, through the wire where there is one. `is_plain` leaves `#!lua` out, for fakeredis.

    `on_late` is told of scripts that ran late, since the store did not know them: what was sent behind them came first.
    """

    def __init__(self, redis: Redis, wire: Wire | Wires | None = None, *, is_plain: bool = False) -> None:
        self.on_late: Callable[[], None] | None = None
        self._redis = redis
        self._wire = wire
        self._texts = {name: script.plain if is_plain else script.text for name, script in SCRIPTS.items()}
        self._shas = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._texts.items()
        }

    async def run(self, verb: str, partition: str, *arguments: Word) -> Any:
        """The script's reply. Raises the refusal it answered, StoreFull or StoreUnavailable.

        What was sent is carried out even when who asked for it is gone; unless the store did not know the script: then
        nothing was done, and nobody asks again. Loading and running it take no longer than the one call may.
        """
        due = None
        if self._wire is not None:
            began = time.monotonic()
            try:
                return await self._wire.call("EVALSHA", self._shas[verb], 1, partition, *arguments)
            except exceptions.NoScriptError:
                due = began + self._wire.timeout_s  # it did not run: below it is loaded first
            except exceptions.RedisError as fault:
                raise told(fault) from fault
        [reply] = await self.run_all([Call(verb, partition, arguments)], due)
        if isinstance(reply, errors.TitanError):
            raise reply
        return reply

    async def send(self, partition: str, commands: Sequence[Sequence[Word]]) -> None:
        """Plain commands, in order; their replies are of no interest. Raises StoreFull, StoreUnavailable."""
        if self._wire is not None:
            wire = self._wire.at(partition)
            for at in range(0, len(commands), _AT_ONCE):
                await spoken(asyncio.gather(*[wire.call(*words) for words in commands[at : at + _AT_ONCE]]))
            return
        pipeline = self._redis.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        await spoken(pipeline.execute())

    async def field(self, partition: str, key: str, name: str) -> bytes | None:
        """One field of a hash, in half of the time of a call, since one follows. Raises StoreUnavailable."""
        if self._wire is None:
            return cast("bytes | None", await spoken(cast("Awaitable[Any]", self._redis.hget(key, name))))
        due = time.monotonic() + self._wire.timeout_s / 2
        return cast("bytes | None", await spoken(_by(due, self._wire.at(partition).call("HGET", key, name))))

    async def run_all(self, calls: Sequence[Call], due: float | None = None) -> list[Any]:
        """The replies to several calls, sent in one pipeline; a refusal stands in its place.

        A call that has begun is carried through even when who asked for it is gone. `due` is when the wire must have
        answered all of it, by the monotonic clock in s; without it that is the time that one call may take.
        """
        sending = asyncio.create_task(self._send(calls, due))
        sending.add_done_callback(_seen)
        replies = await asyncio.shield(sending)
        for reply in replies:
            if isinstance(reply, errors.StoreUnavailable | errors.StoreFull):
                raise reply
        return replies

    async def _send(self, calls: Sequence[Call], due: float | None) -> list[Any]:
        if due is None and self._wire is not None:
            due = time.monotonic() + self._wire.timeout_s
        replies = await self._pipeline(calls, due)
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            await self._load({calls[i].verb for i in missing}, due)
            for i, reply in zip(missing, await self._pipeline([calls[i] for i in missing], due), strict=True):
                replies[i] = reply
            if self.on_late is not None:
                self.on_late()
        return [told(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _pipeline(self, calls: Sequence[Call], due: float | None) -> list[Any]:
        if self._wire is not None:
            return await spoken(self._through(self._wire, calls, due))
        with_store = self._redis.pipeline(transaction=False)
        for call in calls:
            with_store.evalsha(self._shas[call.verb], 1, call.partition, *call.arguments)
        return cast("list[Any]", await spoken(with_store.execute(raise_on_error=False)))

    async def _through(self, wire: Wire | Wires, calls: Sequence[Call], due: float | None) -> list[Any]:
        replies = [wire.call("EVALSHA", self._shas[c.verb], 1, c.partition, *c.arguments) for c in calls]
        return await _all_of([_by(due, reply) for reply in replies])

    async def _load(self, verbs: Iterable[str], due: float | None) -> None:
        for verb in verbs:
            text = self._texts[verb]
            if self._wire is None:
                await spoken(self._redis.script_load(text))
            else:
                await spoken(_by(due, self._wire.call("SCRIPT", "LOAD", text)))


def _by(due: float | None, reply: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """The reply; one that is not there when it is due, by the monotonic clock in s, is a TimeoutError of redis-py."""

    def late() -> None:
        if not reply.done():
            reply.set_exception(exceptions.TimeoutError("what several calls may take together is over"))

    if due is not None:
        timer = reply.get_loop().call_later(due - time.monotonic(), late)
        reply.add_done_callback(lambda _: timer.cancel())
    return reply


async def _all_of(replies: Sequence[asyncio.Future[Any]]) -> list[Any]:
    """The replies, errors among them; a connection that was lost on the way is raised."""
    answers = await asyncio.gather(*replies, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, exceptions.ConnectionError | exceptions.TimeoutError):
            raise answer
    return answers


def _seen(sending: asyncio.Task[list[Any]]) -> None:
    """A fault that comes after its caller is gone is nobody's, and asyncio need not log it."""
    if not sending.cancelled():
        sending.exception()
