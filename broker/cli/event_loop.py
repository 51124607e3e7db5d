"""Runs the coroutine of a command: chooses the event loop, reports a failed start."""

import asyncio
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
