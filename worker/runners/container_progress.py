"""How far a container is: the file that TITAN_PROGRESS names is read while the container runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiodocker import DockerError
from aiodocker.containers import DockerContainer

from worker.jobs.progress import LAST_BYTES, JobProgress
from worker.runners.aiodocker_private import stat_of
from worker.runners.container_config import PROGRESS_PATH
from worker.runners.container_files import read_file

EVERY_S = 5.0
"""How often the engine is asked whether the file has changed, in s."""
MAX_FILE_BYTES = 65_536
"""A larger file is not read: an engine reads files as a whole."""
_ANSWER_S = 5.0


@asynccontextmanager
async def following(container: DockerContainer, progress: JobProgress) -> AsyncIterator[None]:
    """Inside the block the heartbeat gets what the container writes."""
    follower = _Follower(container)
    progress.read = follower.last
    reading = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Follower:
    """Keeps the end of the file. `last` may be called in any thread."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container
        self._stat: object = None
        self._end = b""

    def last(self) -> bytes:
        """The end of the file as it was read last."""
        return self._end

    async def run(self) -> None:
        """Read the file each time that it has changed. An engine that does not answer is asked again."""
        while True:
            await asyncio.sleep(EVERY_S)
            with suppress(DockerError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(_ANSWER_S):
                    await self._read()

    async def _read(self) -> None:
        stat = await stat_of(self._container, PROGRESS_PATH)
        if stat != self._stat and stat.size_bytes <= MAX_FILE_BYTES:
            self._end = (await read_file(self._container, PROGRESS_PATH))[-LAST_BYTES:]
            self._stat = stat
