"""Runs the Lua scripts by SHA; loads them again by itself, raises refusals."""

import asyncio
import hashlib
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from redis import exceptions
from redis.asyncio import Redis

from broker import errors
from broker.refusals import spoken, told
from broker.script_texts import SCRIPTS
from broker.wire import Wire
from broker.wire_protocol import Word
from broker.wires import Wires


class Call(NamedTuple):
    """One run of a script in one partition."""

    verb: str
    partition: str
    arguments: Sequence[Word]


class Scripts:
    """Runs scripts, through the wire where there is one. `is_plain` leaves `#!lua` out, for fakeredis."""

    def __init__(self, redis: Redis, wire: Wire | Wires | None = None, *, is_plain: bool = False) -> None:
        self._redis = redis
        self._wire = wire
        self._texts = {name: script.plain if is_plain else script.text for name, script in SCRIPTS.items()}
        self._shas = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._texts.items()
        }

    async def run(self, verb: str, partition: str, *arguments: Word) -> Any:
        """The script's reply. Raises the refusal it answered, StoreFull or StoreUnavailable.

        What was sent is carried out even when who asked for it is gone; unless the store did not know the script: then
        nothing was done, and nobody asks again.
        """
        if self._wire is not None:
            try:
                return await self._wire.call("EVALSHA", self._shas[verb], 1, partition, *arguments)
            except exceptions.NoScriptError:
                pass  # it did not run: below it is loaded first
            except exceptions.RedisError as fault:
                raise told(fault) from fault
        [reply] = await self.run_all([Call(verb, partition, arguments)])
        if isinstance(reply, errors.TitanError):
            raise reply
        return reply

    async def field(self, partition: str, key: str, name: str) -> bytes | None:
        """One field of a hash of a partition. Raises StoreUnavailable."""
        wire = self._wire.at(partition) if self._wire is not None else None
        work = wire.call("HGET", key, name) if wire is not None else self._redis.hget(key, name)
        return cast("bytes | None", await spoken(cast("Awaitable[Any]", work)))

    async def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """The replies to several calls, sent in one pipeline; a refusal stands in its place.

        A call that has begun is carried through even when who asked for it is gone.
        """
        sending = asyncio.create_task(self._send(calls))
        sending.add_done_callback(_seen)
        replies = await asyncio.shield(sending)
        for reply in replies:
            if isinstance(reply, errors.StoreUnavailable | errors.StoreFull):
                raise reply
        return replies

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        replies = await self._pipeline(calls)
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            await self._load({calls[i].verb for i in missing})
            for i, reply in zip(missing, await self._pipeline([calls[i] for i in missing]), strict=True):
                replies[i] = reply
        return [told(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _pipeline(self, calls: Sequence[Call]) -> list[Any]:
        if self._wire is not None:
            return await spoken(self._through(self._wire, calls))
        with_store = self._redis.pipeline(transaction=False)
        for call in calls:
            with_store.evalsha(self._shas[call.verb], 1, call.partition, *call.arguments)
        return cast("list[Any]", await spoken(with_store.execute(raise_on_error=False)))

    async def _through(self, wire: Wire | Wires, calls: Sequence[Call]) -> list[Any]:
        replies = [wire.call("EVALSHA", self._shas[c.verb], 1, c.partition, *c.arguments) for c in calls]
        return await _all_of(replies)

    async def _load(self, verbs: Iterable[str]) -> None:
        for verb in verbs:
            text = self._texts[verb]
            await spoken(self._wire.call("SCRIPT", "LOAD", text) if self._wire else self._redis.script_load(text))


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
