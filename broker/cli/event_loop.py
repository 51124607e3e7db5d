"""Runs the coroutine of a command: chooses the event loop, sets up the log, reports a failed start."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from broker.cli.process_setup import Terminal
from broker.core.errors import StartFailed

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], terminal: Terminal | None = None) -> T:
    """Run a coroutine, on uvloop if it is installed. A failed start becomes one line on stderr and exit code 1."""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            if terminal is not None:
                runner.get_loop().call_soon(terminal.follow)
            return runner.run(work)
    except StartFailed as error:
        raise click.ClickException(str(error)) from error


def loop_factory() -> Any:
    """Uvloop's factory if uvloop is installed; None for the default loop of asyncio."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def log_to_stderr(level: str, mark: str = "") -> None:
    """Write log messages of this level or above to stderr, with UTC times. `mark`: names the process in each line."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=level.upper(),
        format=f"%(asctime)s.%(msecs)03dZ{mark} %(levelname)s %(name)s: %(message)s",
        datefmt="%FT%T",
    )
