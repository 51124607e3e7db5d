"""A container engine: connections, pulls, and containers of earlier workers."""

import asyncio
import json
import logging
from typing import Any, Literal

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer

from worker.jobs.output import Output
from worker.jobs.texts import encoded, safe_text
from worker.runners.container_config import WORKER, is_left_behind

_UNIX = "unix://"

_log = logging.getLogger(__name__)


class Engine:
    """The engine at an address such as unix:///run/podman/podman.sock; "" is the default of Docker."""

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._docker: Docker | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Connect once, and remove containers of dead workers. Raises OSError without an engine."""
        async with self._opening:
            if self._docker is None:
                docker = self._connected()
                try:
                    await _remove_left_behind(docker)
                except BaseException:
                    await docker.close()
                    raise
                self._docker = docker

    async def close(self) -> None:
        """Close the connections."""
        if self._docker is not None:
            await self._docker.close()

    async def pull(self, image: str, policy: Literal["always", "missing", "never"], log: Output) -> None:
        """Pull the image as the policy says, with the progress in the log. Raises DockerError."""
        if policy == "never" or (policy == "missing" and await self._has(image)):
            return
        error = ""
        try:
            async for line in self._opened.images.pull(image, stream=True):  # to its end, which closes the answer
                error = error or safe_text(line.get("error", ""))
                if not line.get("progressDetail"):  # bars are for terminals
                    _log_pull(
                        log, *(safe_text(line[key]).strip() for key in ("id", "status", "stream") if line.get(key))
                    )
            if error:
                raise DockerError(404, error)
        except DockerError as refused:
            _log_pull(log, f"of {image} failed:", safe_text(refused.message))
            raise

    async def create(self, config: dict[str, Any]) -> DockerContainer:
        """Create a container, not started yet."""
        return await self._opened.containers.create(config)

    @property
    def _opened(self) -> Docker:
        if self._docker is None:
            raise RuntimeError("open the engine first")
        return self._docker

    async def _has(self, image: str) -> bool:
        try:
            await self._opened.images.inspect(image)
        except DockerError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _connected(self) -> Docker:
        if self._address.startswith(_UNIX):  # each running container holds connections: aiohttp's 100 are too few
            connector = aiohttp.UnixConnector(self._address.removeprefix(_UNIX), limit=0)
            return Docker("unix://localhost", connector=connector)
        try:
            return Docker(self._address or None)
        except (AssertionError, ValueError) as error:
            raise FileNotFoundError(2, "no container engine; DOCKER_HOST says where it is") from error


def _log_pull(log: Output, *words: str) -> None:
    """A line of the progress of a pull; nothing for an empty one."""
    if text := " ".join(" ".join(words).split()):
        log.write(encoded(f"[titan: pull {text}]\n"))


async def _remove_left_behind(docker: Docker) -> None:
    for container in await docker.containers.list(all=True, filters=json.dumps({"label": [WORKER]})):
        labels = container["Labels"] or {}
        if is_left_behind(labels):
            _log.warning("removes container %.12s, left behind by a worker that is gone", container.id)
            try:
                await container.delete(force=True, v=True)
            except DockerError as error:
                _log.warning("container %.12s is not removed: %s", container.id, error.message)
