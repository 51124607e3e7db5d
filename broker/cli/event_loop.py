"""How the commands that run for long are run: the event loop, the log, and a start that failed."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from broker.cli.terminal import Terminal
from broker.store.connect import StartFailed

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], terminal: Terminal | None = None) -> T:
    """Run it on uvloop where that is there. A start that failed is one line on stderr and exit code 1."""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            if terminal is not None:
                runner.get_loop().call_soon(terminal.follow)
            return runner.run(work)
    except StartFailed as error:
        raise click.ClickException(str(error)) from error


def loop_factory() -> Any:
    """What makes an event loop: uvloop where that is there; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def log_to_stderr(level: str, mark: str = "") -> None:
    """Log from this level on, a line each, with the time in UTC, and with the mark of who says it."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=level.upper(),
        format=f"%(asctime)s.%(msecs)03dZ{mark} %(levelname)s %(name)s: %(message)s",
        datefmt="%FT%T",
    )
