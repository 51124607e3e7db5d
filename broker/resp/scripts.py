"""Runs the Lua scripts by SHA, loads scripts that the store does not know, and raises refusals."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from redis import exceptions

from broker.core import errors
from broker.resp.replies_to_errors import error_of, translate_errors
from broker.resp.resp_connection import Word
from broker.resp.script_source import SCRIPTS
from broker.resp.topology import Topology

_MAX_COMMANDS = 32
"""Plain commands that one caller has in flight together. So 300 callers, the default of --max-in-progress, stay below
the limit of the multiplexer."""


class ScriptCall(NamedTuple):
    """One call of a script in one partition."""

    verb: str
    partition: str
    arguments: Sequence[Word]


class Scripts:
    """Runs scripts on the servers of their partitions. `is_plain` omits the `#!lua` line, for fakeredis.

    `before_loading` is awaited with the partitions before scripts are loaded: a server may have been replaced.
    `on_reload` is called after scripts were loaded again: they ran later than commands that were sent after them.
    """

    def __init__(self, topology: Topology, *, is_plain: bool = False) -> None:
        self.on_reload: Callable[[], None] | None = None
        self.before_loading: Callable[[Iterable[str]], Awaitable[None]] | None = None
        self._topology = topology
        self._texts = {name: script.plain if is_plain else script.text for name, script in SCRIPTS.items()}
        self._shas = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._texts.items()
        }

    async def run(self, verb: str, partition: str, *arguments: Word) -> Any:
        """The reply of a script. Raises its refusal, StoreFull or StoreUnavailable.

        A script that was sent runs even if the caller is cancelled. A script that the store does not know is loaded and
        called again, within the time limit of one call; not if the caller was cancelled.
        """
        began = time.monotonic()
        try:
            return await self._topology.call(partition, "EVALSHA", self._shas[verb], 1, partition, *arguments)
        except exceptions.NoScriptError:
            due = began + self._topology.timeout_s  # the script did not run; run_all loads it
        except exceptions.RedisError as fault:
            raise error_of(fault) from fault
        [reply] = await self.run_all([ScriptCall(verb, partition, arguments)], due)
        if isinstance(reply, errors.TitanError):
            raise reply
        return reply

    async def send(self, partition: str, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies to plain commands, in order. Raises StoreFull, StoreUnavailable."""
        call, replies = self._topology.call, []
        for at in range(0, len(commands), _MAX_COMMANDS):
            some = commands[at : at + _MAX_COMMANDS]
            replies += await translate_errors(asyncio.gather(*[call(partition, *words) for words in some]))
        return replies

    async def read(self, partition: str, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies to plain commands that only read, _MAX_COMMANDS at most. Raises StoreUnavailable."""
        due = time.monotonic() + self._topology.timeout_s
        sent = [_with_deadline(due, self._topology.call(partition, *words)) for words in commands]
        return list(await translate_errors(asyncio.gather(*sent)))

    async def field(self, partition: str, key: str, name: str) -> bytes | None:
        """One field of a hash, in half the time of a call, because a call follows. Raises StoreUnavailable."""
        due = time.monotonic() + self._topology.timeout_s / 2
        reply = _with_deadline(due, self._topology.call(partition, "HGET", key, name))
        return cast("bytes | None", await translate_errors(reply))

    async def run_all(
        self, calls: Sequence[ScriptCall], due: float | None = None, *, keeps_faults: bool = False
    ) -> list[Any]:
        """The replies to several calls, sent together. Refusals are returned. Raises StoreFull, StoreUnavailable.

        `keeps_faults`: these are returned too, because other servers may answer. The calls are completed even if the
        caller is cancelled. `due` is the deadline for all of them, by the monotonic clock in s; without it they have
        the time limit of one call.
        """
        due = due or time.monotonic() + self._topology.timeout_s
        sending = asyncio.create_task(self._send(calls, due, keeps_faults=keeps_faults))
        sending.add_done_callback(_retrieve_error)
        replies = await asyncio.shield(sending)
        for reply in () if keeps_faults else replies:
            if isinstance(reply, errors.StoreUnavailable | errors.StoreFull):
                raise reply
        return replies

    async def _send(self, calls: Sequence[ScriptCall], due: float, *, keeps_faults: bool) -> list[Any]:
        replies = await translate_errors(self._call_all(calls, due, keeps_faults=keeps_faults))
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            partitions = {calls[i].partition for i in missing}
            if self.before_loading is not None:
                await self.before_loading(partitions)
            for verb in {calls[i].verb for i in missing}:
                loading = self._topology.call_each(partitions, "SCRIPT", "LOAD", self._texts[verb])
                await translate_errors(_with_deadline(due, loading))
            again = [calls[i] for i in missing]
            later = await translate_errors(self._call_all(again, due, keeps_faults=keeps_faults))
            for i, reply in zip(missing, later, strict=True):
                replies[i] = reply
            if self.on_reload is not None:
                self.on_reload()
        return [error_of(reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def _call_all(self, calls: Sequence[ScriptCall], due: float, *, keeps_faults: bool) -> list[Any]:
        """The replies, error replies among them. Raises, or keeps, ConnectionError and TimeoutError of redis-py."""
        call = self._topology.call
        sent = [call(c.partition, "EVALSHA", self._shas[c.verb], 1, c.partition, *c.arguments) for c in calls]
        replies = await asyncio.gather(*[_with_deadline(due, reply) for reply in sent], return_exceptions=True)
        for reply in () if keeps_faults else replies:
            if isinstance(reply, exceptions.ConnectionError | exceptions.TimeoutError):
                raise reply
        return replies


def _with_deadline(due: float, reply: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """Make a reply fail with redis-py's TimeoutError when `due`, by the monotonic clock in s, has passed."""

    def fail() -> None:
        if not reply.done():
            reply.set_exception(exceptions.TimeoutError("the time limit of the calls has passed"))

    timer = reply.get_loop().call_later(due - time.monotonic(), fail)
    reply.add_done_callback(lambda _: timer.cancel())
    return reply


def _retrieve_error(sending: asyncio.Task[list[Any]]) -> None:
    """Retrieve the error of a task whose caller was cancelled, so that asyncio does not log it."""
    if not sending.cancelled():
        sending.exception()
