"""The embedded store: a Valkey server in the data folder, shared by the brokers on that folder.

Every broker on a folder holds `brokers.lock` shared; one of them holds `keeper.lock` and looks after the server: it
starts it, and starts it again when it dies. The others join. When the keeper leaves, another broker on the folder takes
its place within a second; the last one to leave stops the server. A server that outlived its broker (kill -9) is found
by its socket and taken over.
"""

import asyncio
import fcntl
import logging
import os
import shlex
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from broker.embedded.server import LOOK_S, ServerFailed, ValkeyServer

SOCKET_BYTES = 103
"""The longest path of a Unix socket that every system takes."""

_TAKE_OVER_S = 1.0

_log = logging.getLogger(__name__)


class EmbeddedFailed(Exception):
    """The embedded store cannot be used; the text says why and what to do."""


class Embedded:
    """The embedded store of a folder: started or joined by `start`, stopped or left by `stop`."""

    def __init__(self, folder: Path) -> None:
        """Raises EmbeddedFailed for a folder that has no place."""
        self.folder = _placed(folder)
        self.is_keeper = False
        self._server = ValkeyServer(self.folder)
        self._brokers = _Lock(self.folder / "brokers.lock")
        self._keeper = _Lock(self.folder / "keeper.lock")
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """What a Redis client connects to."""
        return f"unix://{quote(str(self._server.socket))}"

    @property
    def redis_cli(self) -> str:
        """The command line that looks into it."""
        return f"redis-cli -s {shlex.quote(str(self._server.socket))}"

    async def __aenter__(self) -> Self:
        """Start or join it."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop or leave it."""
        await self.stop()

    async def start(self) -> None:
        """Start the server, or join the one that runs; returns when it is ready. Raises EmbeddedFailed."""
        self._check_path()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._join()
            await self._server.ready(self._may_start)
        except OSError as error:
            self._let_go()
            raise EmbeddedFailed(
                f"The data folder {self.folder} (--data-dir) cannot be used: {error.strerror}."
            ) from error
        except ServerFailed as error:
            self._let_go()
            raise EmbeddedFailed(str(error)) from error
        except BaseException:
            self._let_go()
            raise
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop the server when this is the last broker on the folder, else leave it to the others."""
        if self._watch is None:
            return
        self._watch.cancel()
        await asyncio.wait([self._watch])
        self._watch = None
        if self._brokers.take():
            await self._server.shut_down()
        else:
            self._server.leave()
        self._let_go()

    def _check_path(self) -> None:
        if len(os.fsencode(self._server.socket)) > SOCKET_BYTES:
            raise EmbeddedFailed(
                f"The path {self._server.socket} is too long for a socket ({SOCKET_BYTES} bytes at most): "
                "choose a shorter folder with --data-dir."
            )

    async def _join(self) -> None:
        while not self._brokers.take(shared=True):  # noqa: ASYNC110 - another broker is just stopping the server
            await asyncio.sleep(LOOK_S)
        self._may_start()

    def _may_start(self) -> bool:
        self.is_keeper = self.is_keeper or self._keeper.take()
        return self.is_keeper

    async def _keep(self) -> None:
        """Look after the server, or wait to take over from the broker that does."""
        while True:
            try:
                await self._server.gone(None if self.is_keeper else _TAKE_OVER_S)
                if not self.is_keeper and self._may_start():
                    _log.info("this broker now looks after the embedded store")
                if self.is_keeper and await self._server.state() == "gone":
                    await self._start_again()
            except (ServerFailed, OSError) as error:
                _log.error("%s", error)
                await asyncio.sleep(_TAKE_OVER_S)

    async def _start_again(self) -> None:
        _log.warning("the embedded store is gone; it is started again")
        await self._server.buried()
        await self._server.ready(self._may_start)
        _log.warning("the embedded store is back")

    def _let_go(self) -> None:
        self.is_keeper = False
        self._keeper.let_go()
        self._brokers.let_go()


def _placed(folder: Path) -> Path:
    """The folder by its whole path."""
    try:
        placed = folder.expanduser().absolute()
        str(placed).encode()
    except FileNotFoundError:
        raise EmbeddedFailed(
            f"The folder of the start is gone, so there is no {folder} in it: name a whole path with --data-dir."
        ) from None
    except RuntimeError:
        raise EmbeddedFailed(
            f"Nobody's home is known here, so there is no {folder}: set HOME, or --data-dir."
        ) from None
    except UnicodeEncodeError:
        raise EmbeddedFailed(
            f"The path {os.fsencode(folder)!r} is not UTF-8 text: choose another folder with --data-dir."
        ) from None
    return placed


class _Lock:
    """A file lock that ends with its holder, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self, *, shared: bool = False) -> bool:
        """Take it, or turn a shared one into a sole one; whether it worked. Raises OSError."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def let_go(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
