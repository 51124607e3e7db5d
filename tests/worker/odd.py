"""Handlers of a Python app that do what no handler should."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from worker import Failed, Released, Succeeded, job
from worker.jobs.outcome import Dropped


class Odd(BaseException):
    """No Exception."""


class Mute:
    """An object without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class MuteError(Exception):
    """An exception without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Deep:
    """An object whose text is that of itself."""

    def __str__(self) -> str:
        return str(self)


class Wordless:
    """An object whose text is none."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value] # noqa: PLE0307


def circle() -> NoReturn:
    """Two exceptions, each of which came of the other."""
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    raise first


def answer(name: str) -> Any:
    """What a handler may return that is no outcome, or none that can be reported."""

    def yields() -> Iterator[int]:
        yield 1

    async def waits() -> None: ...

    async def both() -> AsyncIterator[int]:
        yield 1

    answers: dict[str, Any] = {
        "mute": Mute,
        "deep": Deep,
        "wordless": Wordless,
        "half": lambda: "half \udc80",
        "bytes": lambda: b"\xff\n",
        "much": lambda: "x" * 3_000_000,
        "no error": lambda: Failed("word", None),  # type: ignore[arg-type]
        "long": lambda: Failed("r" * 300, "e" * 5000),
        "half reason": lambda: Failed("half \udc80", "half \udc80"),
        "number": lambda: Failed(5, "five"),  # type: ignore[arg-type]
        "mute error": lambda: Failed("word", Mute()),  # type: ignore[arg-type]
        "below": lambda: Released(-5),
        "above": lambda: Released(10**12),
        "nan": lambda: Released(float("nan")),  # type: ignore[arg-type]
        "word": lambda: Released("soon"),  # type: ignore[arg-type]
        "junk": lambda: Succeeded("done"),  # type: ignore[arg-type]
        "dropped": Dropped,
        "class": lambda: Failed,
        "exception": lambda: ValueError("returned"),
        "coroutine": waits,
        "generator": yields,
        "generator too": both,
        "lock": threading.Lock,
    }
    return answers[name]()


def leave(name: str) -> NoReturn:
    """Leave by an exception that is not of the usual kind."""
    if name == "exit":
        sys.exit(3)
    if name == "circle":
        circle()
    raise {
        "interrupt": KeyboardInterrupt(),
        "generator": GeneratorExit(),
        "base": Odd("own"),
        "cancelled": asyncio.CancelledError(),
        "mute": MuteError(),
        "half": ValueError("half \udc80"),
        "long": ValueError("x" * 10_000),
        "group": ExceptionGroup("many", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])]),
        "stop": StopAsyncIteration(),
    }[name]


@job
async def beside(payload: str) -> None:
    """Until a file exists."""
    while not await asyncio.to_thread(Path(payload).exists):
        await asyncio.sleep(0.02)


@job
async def after(payload: str) -> str:
    """A text."""
    return payload


@job("async/returns")
async def returns(payload: str) -> Any:
    """Something odd."""
    return answer(payload)


@job("async/leaves")
async def leaves(payload: str) -> None:
    """By something odd."""
    leave(payload)


@job("async/awaits")
async def awaits(payload: str) -> Any:
    """A task that it cancels."""
    inner = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    inner.cancel()
    await inner


@job("async/future")
async def future(payload: str) -> Any:
    """A future that nobody sets."""
    return asyncio.get_running_loop().create_future()


@job("async/swallows")
async def swallows(payload: str) -> None:
    """Its cancellation, again and again."""
    while True:
        with suppress(BaseException):
            await asyncio.sleep(60)


@job("async/tidies")
async def tidies(payload: str) -> str:
    """Its cancellation, and returns."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "done after all"
    return ""


@job("async/shields")
async def shields(payload: str) -> None:
    """Waits for a task that swallows its cancellation."""
    await asyncio.create_task(swallows(payload))


@job("async/blocks")
async def blocks(payload: str) -> None:
    """The loop."""
    while True:
        with suppress(Exception):
            time.sleep(60)  # noqa: ASYNC251


@job("async/cancels")
async def cancels(payload: str) -> None:
    """All tasks that there are."""
    for task in asyncio.all_tasks():
        if payload == "itself too" or task is not asyncio.current_task():
            task.cancel()
    await asyncio.sleep(0.2)


@job("async/loop")
async def loop(payload: str) -> None:
    """Does something to the loop."""
    here = asyncio.get_running_loop()
    if payload == "stop":
        here.stop()
    elif payload == "close":
        here.close()
    elif payload == "exit in a callback":
        here.call_soon(sys.exit, 3)
    elif payload == "exit in a task":
        asyncio.create_task(_exits())  # noqa: RUF006
    elif payload == "interrupt in a callback":
        here.call_soon(leave, "interrupt")
    await asyncio.sleep(0.2)


@job("async/signals")
async def signals(payload: str) -> None:
    """Changes what SIGTERM does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, print)


@job("async/streams")
async def streams(payload: str) -> None:
    """Closes stderr, and puts something else in the place of stdout."""
    sys.stderr.close()
    sys.stdout = None  # type: ignore[assignment]


@job("async/forks")
async def forks(payload: str) -> str:
    """Returns twice."""
    child = os.fork()
    if child == 0 and payload == "waits":
        await asyncio.sleep(0)
    return f"{os.getpid()}\n"


@job("async/leaks")
async def leaks(payload: str) -> None:
    """A task and a thread that never end."""
    asyncio.create_task(swallows(payload))  # noqa: RUF006
    threading.Thread(target=time.sleep, args=(600,)).start()


@job("pool/returns")
def returns_there(payload: str) -> Any:
    """Something odd."""
    return answer(payload)


@job("pool/leaves")
def leaves_there(payload: str) -> None:
    """By something odd."""
    leave(payload)


@job("pool/exits")
def exits_there(payload: str) -> None:
    """At once."""
    os._exit(int(payload))


@job("pool/dies")
def dies_there(payload: str) -> None:
    """By a signal."""
    os.kill(os.getpid(), signal.Signals[payload])


@job("pool/stuck")
def stuck_there(payload: str) -> None:
    """Deaf to TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


@job("pool/forks")
def forks_there(payload: str) -> str:
    """Returns twice."""
    os.fork()
    return "once\n"


@job("pool/streams")
def streams_there(payload: str) -> str:
    """Does something to stdout and stderr."""
    print("printed")
    if payload == "close":
        sys.stdout.close()
        sys.stderr.close()
    elif payload == "close for good":
        os.close(1)
        os.close(2)
    else:
        sys.stdout = sys.stderr = None  # type: ignore[assignment]
    return "text\n"


@job("pool/descriptors")
def descriptors_there(payload: str) -> None:
    """Closes every one, or writes into every one."""
    if payload == "close":
        os.closerange(0, 256)
        return
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\x00\x00\x00\x01x" * 100)
        except OSError:
            continue


@job("pool/prepares")
def prepares_there(payload: str) -> None:
    """Leaves something behind that would end the next job."""
    signal.alarm(1)
    os.chdir("/")


@job("pool/dies later")
def dies_later_there(payload: str) -> None:
    """Ends its process once it is done."""
    threading.Timer(0.05, os._exit, (1,)).start()


@job("pool/beside")
def beside_there(payload: str) -> None:
    """Until a file exists."""
    while not Path(payload).exists():
        time.sleep(0.02)


@job("pool/after")
def after_there(payload: str) -> str:
    """A text."""
    return payload


async def _exits() -> None:
    sys.exit(3)
