"""`python -m worker` as a program."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

Start = Callable[..., Awaitable["Program"]]


class Program:
    """The program while it runs."""

    def __init__(self, started: asyncio.subprocess.Process) -> None:
        self.started = started
        self.log = b""

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.started.send_signal(number)

    async def says(self, text: str) -> None:
        """Read its log until a line has this text."""
        assert self.started.stderr is not None
        async with asyncio.timeout(60):
            while text.encode() not in self.log:
                line = await self.started.stderr.readline()
                assert line, f"it ended without {text!r}: {self.log.decode()}"
                self.log += line

    async def end(self) -> int:
        """Wait for its end; the exit code."""
        assert self.started.stderr is not None
        async with asyncio.timeout(30):
            self.log += await self.started.stderr.read()
            return await self.started.wait()


@asynccontextmanager
async def programs(broker_url: str) -> AsyncIterator[Start]:
    """Starts it; it is gone at the end."""
    started: list[Program] = []

    async def start(*words: str, before: Sequence[str] = (), **variables: str | bytes) -> Program:
        environment = {"PATH": os.environ["PATH"], "TITAN_BROKER_URL": broker_url, "TITAN_WAIT_S": "5", **variables}
        command = (*before, sys.executable, "-m", "worker", *words)
        started.append(
            Program(
                await asyncio.create_subprocess_exec(
                    *command, env=environment, cwd=Path(__file__).parents[2], stderr=asyncio.subprocess.PIPE
                )
            )
        )
        return started[-1]

    yield start
    for program in started:
        if program.started.returncode is None:
            program.started.kill()
        await program.end()
