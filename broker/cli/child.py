"""One broker of `titan broker --processes N`, as its parent starts it: `python -m broker.cli.child`. Not a command.

It reads what to do from standard input, whose end tells that the parent is gone, and says there that it serves.
"""

import asyncio
import os
import signal
import sys

import click
import msgspec

from broker.cli.event_loop import log_to_stderr, run
from broker.cli.starting import begin
from broker.diagnostics.peer_metrics import PeerMetrics
from broker.service.broker import Serving, serve, stop_signals
from broker.service.supervisor import Ready, Told


@click.command()
def child() -> None:
    """Run one broker of several."""
    begin()
    told = msgspec.json.decode(sys.stdin.buffer.readline(), type=Told)
    log_to_stderr(told.settings.log_level, f" [{told.number}]")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until something here wants it
    run(_serve(told))


async def _serve(told: Told) -> None:
    stop = stop_signals()
    _stop_without_parent(stop)
    await serve(told.settings, _say, stop, PeerMetrics(told.folder, told.number))


def _stop_without_parent(stop: asyncio.Event) -> None:
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def look() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            stop.set()

    loop.add_reader(stdin, look)


def _say(serving: Serving) -> None:
    ready = Ready(serving.url, serving.redis_cli)
    sys.stdout.buffer.write(msgspec.json.encode(ready) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    child()
