"""One broker of `titan broker --processes N`. The parent starts it with `python -m broker.cli.child`; not a command.

It reads its settings as a line of JSON from standard input, and stops when standard input ends, because then the parent
is gone. When it serves, it writes a line of JSON to standard output.
"""

import asyncio
import os
import signal
import sys

import click
import msgspec

from broker.cli.commands import TitanCommand
from broker.cli.event_loop import run
from broker.cli.log_setup import log_to_stderr
from broker.cli.process_setup import prepare_to_serve
from broker.diagnostics.peer_metrics import PeerMetrics
from broker.service.broker import Serving, serve, stop_signals
from broker.service.supervisor import ChildArguments, Ready


@click.command(cls=TitanCommand)
def child() -> None:
    """Run one broker of several."""
    prepare_to_serve()
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=ChildArguments)
    log_to_stderr(start.settings.log_level, start.settings.log_format, start.number)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `serve` installs a handler later, when files can be reloaded
    run(_serve(start))


async def _serve(start: ChildArguments) -> None:
    stop = stop_signals()
    _stop_without_parent(stop)
    metrics = PeerMetrics(start.folder, start.number)
    await serve(start.settings, _report_ready, stop, metrics, sources=start.sources)


def _stop_without_parent(stop: asyncio.Event) -> None:
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            stop.set()

    loop.add_reader(stdin, read)


def _report_ready(serving: Serving) -> None:
    ready = Ready(serving.url, serving.redis_cli)
    sys.stdout.buffer.write(msgspec.json.encode(ready) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    child()
