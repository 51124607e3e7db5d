"""The Lua scripts: read from lua/, told by their headers, run by SHA, loaded again by themselves, refusals raised.

A script is `_prelude.lua`, the parts that its header names after `with`, and its own file. Before it stands `#!lua`
with the header's flags, so that the store knows which scripts may run when it is full.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from redis import exceptions
from redis.asyncio import Redis

from broker import errors
from broker.times import rfc3339
from broker.wire import Wire
from broker.wire_protocol import Word
from broker.wires import Wires

T = TypeVar("T")
_FOLDER = Path(__file__).parent.parent / "lua"
_HEADER = re.compile(r"^-- (\S+)\s+(.*)$")
_SLOT = re.compile(r"^(KEYS|ARGV)\[(\d+)\]$")
_AWAY = re.compile(r"READONLY|LOADING|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|MISCONF|BUSY|UNKILLABLE|TRYAGAIN|NOAUTH|NOPERM")


class Slot(NamedTuple):
    """One KEYS or ARGV slot, as the header names it."""

    name: str
    meaning: str


class Script(NamedTuple):
    """One script, with what its header says of it."""

    name: str
    summary: str
    keys: tuple[Slot, ...]
    arguments: tuple[Slot, ...]
    moves: tuple[str, ...]
    reply: str
    refuses: tuple[str, ...]
    flags: str
    plain: str

    @property
    def text(self) -> str:
        """The whole text as the store gets it."""
        return f"#!lua{' flags=' + self.flags if self.flags else ''}\n{self.plain}"

    @property
    def sha(self) -> str:
        """What EVALSHA calls it by."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


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


async def spoken(work: Awaitable[T]) -> T:
    """The store's answer. Its faults are raised in the broker's words.

    redis-py may lose a cancellation that comes with the answer (Python 3.11's wait_for does); a loop shields its calls.
    """
    try:
        return await work
    except exceptions.RedisError as fault:
        raise told(fault) from fault
    except (OSError, TimeoutError) as fault:
        raise errors.StoreUnavailable(retry_after_s=1) from fault


def told(fault: Exception) -> errors.TitanError:
    """A refusal by word, or a fault of the store, as one of the broker's own errors."""
    text = str(fault)
    if isinstance(fault, exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return errors.StoreFull(retry_after_s=5)
    if type(fault) is not exceptions.ResponseError or _AWAY.match(text):  # a class of its own is a fault of the store
        word = text.partition(" ")[0]
        said = word if word.isupper() else type(fault).__name__
        return errors.StoreUnavailable(f"{errors.StoreUnavailable.sentence} ({said})", retry_after_s=1)
    return refusal(text)


def refusal(text: str) -> errors.TitanError:
    """'WRONG_STATE running 1795461794165' -> WrongState('The job is running since …')."""
    word, _, detail = text.partition(" ")
    error = errors.BY_WORD.get(word)
    if error is None:
        return errors.TitanError(f"The store answered: {text}")
    if error is errors.WrongState:
        status, since, *note = detail.split(" ", 2)
        verb = "created at" if status in {"delayed", "queued"} else "since"
        return error(f"The job is {status}, {verb} {rfc3339(int(since))}.{' ' + note[0] if note else ''}")
    if error is errors.LeaseLost:
        delivery, until = detail.split(" ")
        return error(f"Delivery {delivery} holds the job, until {rfc3339(int(until))}; the lease token is not its.")
    if error is errors.Invalid:
        fields, _, message = detail.partition(" ")
        return error(message, fields=fields)
    if error is errors.LimitReached:
        return error(detail, retry_after_s=1)
    return error(detail)


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text("utf-8")


def _script(name: str) -> Script:
    text = _read(name)
    header = [line for line in text.splitlines() if line.startswith("--")]
    summary = header[0].removeprefix(f"-- {name}: ")
    slots: dict[str, list[Slot]] = {"KEYS": [], "ARGV": []}
    told_: dict[str, str] = {}
    for line in header[1:]:
        if (found := _HEADER.match(line)) is None:
            continue
        if slot := _SLOT.match(found[1]):
            name_, _, meaning = found[2].partition(" ")
            slots[slot[1]].append(Slot(name_, meaning.strip()))
        elif found[1] in {"moves", "reply", "refuses", "flags", "with"}:
            told_[found[1]] = found[2].strip()
    parts = ["_prelude", *told_.get("with", "").split()]
    return Script(
        name=name,
        summary=summary,
        keys=tuple(slots["KEYS"]),
        arguments=tuple(slots["ARGV"]),
        moves=tuple(told_["moves"].split(", ")) if told_["moves"] != "-" else (),
        reply=told_["reply"],
        refuses=tuple(told_["refuses"].split()) if told_["refuses"] != "-" else (),
        flags=told_.get("flags", ""),
        plain="\n".join(_read(part) for part in parts) + "\n" + text,
    )


SCRIPTS: dict[str, Script] = {
    path.stem: _script(path.stem) for path in sorted(_FOLDER.glob("*.lua")) if not path.stem.startswith("_")
}
"""Every script by its verb."""
