"""The embedded store: a Valkey server in the data folder, shared by the brokers on that folder.

Every broker on a folder has a shared lock on `brokers.lock`. One of them, the keeper, also has the lock `keeper.lock`.
It starts the server, and restarts it when it ends. The others use the same server. When the keeper stops, another
broker becomes the keeper within a second. The last broker to stop also stops the server. A server whose broker was
killed with kill -9 continues; the next broker finds it by its socket and uses it.
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

from broker.embedded.server import CHECK_S, ServerFailed, ValkeyServer

SOCKET_BYTES = 103
"""The longest path of a Unix socket that every system accepts, in bytes."""

_TAKE_OVER_S = 1.0

_log = logging.getLogger(__name__)


class EmbeddedFailed(Exception):
    """The embedded store cannot be used. The text gives the reason and what to do."""


class Embedded:
    """The embedded store of a folder. `start` starts the server or uses a running one; the last `stop` stops it."""

    def __init__(self, folder: Path) -> None:
        """Raises EmbeddedFailed for a folder whose absolute path cannot be found."""
        self.folder = _absolute(folder)
        self.is_keeper = False
        self._server = ValkeyServer(self.folder)
        self._brokers = _Lock(self.folder / "brokers.lock")
        self._keeper = _Lock(self.folder / "keeper.lock")
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The URL for Redis clients."""
        return f"unix://{quote(str(self._server.socket))}"

    @property
    def redis_cli(self) -> str:
        """The redis-cli command line for it."""
        return f"redis-cli -s {shlex.quote(str(self._server.socket))}"

    async def __aenter__(self) -> Self:
        """Start the server, or use the running one."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server if this is its last broker."""
        await self.stop()

    async def start(self) -> None:
        """Start the server, or use the running one. Returns when it is ready. Raises EmbeddedFailed."""
        self._check_path()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._join()
            await self._server.ready(self._may_start)
        except OSError as error:
            self._unlock()
            raise EmbeddedFailed(
                f"The data folder {self.folder} (--data-dir) cannot be used: {error.strerror}."
            ) from error
        except ServerFailed as error:
            self._unlock()
            raise EmbeddedFailed(str(error)) from error
        except BaseException:
            self._unlock()
            raise
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop the server if this is the last broker on the folder. Otherwise it continues for the others."""
        if self._watch is None:
            return
        self._watch.cancel()
        await asyncio.wait([self._watch])
        self._watch = None
        if self._brokers.acquire():
            await self._server.shut_down()
        else:
            self._server.leave()
        self._unlock()

    def _check_path(self) -> None:
        if len(os.fsencode(self._server.socket)) > SOCKET_BYTES:
            raise EmbeddedFailed(
                f"The path {self._server.socket} is too long for a socket ({SOCKET_BYTES} bytes at most): "
                "choose a shorter folder with --data-dir."
            )

    async def _join(self) -> None:
        while not self._brokers.acquire(shared=True):  # noqa: ASYNC110 - another broker is stopping the server
            await asyncio.sleep(CHECK_S)
        self._may_start()

    def _may_start(self) -> bool:
        self.is_keeper = self.is_keeper or self._keeper.acquire()
        return self.is_keeper

    async def _keep(self) -> None:
        """As keeper restart the server when it ends; otherwise wait to become the keeper."""
        while True:
            try:
                await self._server.wait_gone(None if self.is_keeper else _TAKE_OVER_S)
                if not self.is_keeper and self._may_start():
                    _log.info("this broker is now the keeper of the embedded store")
                if self.is_keeper and await self._server.state() == "gone":
                    await self._start_again()
            except (ServerFailed, OSError) as error:
                _log.error("%s", error)
                await asyncio.sleep(_TAKE_OVER_S)

    async def _start_again(self) -> None:
        _log.warning("the embedded store has ended; it is started again")
        await self._server.wait_ended()
        await self._server.ready(self._may_start)
        _log.warning("the embedded store is back")

    def _unlock(self) -> None:
        self.is_keeper = False
        self._keeper.release()
        self._brokers.release()


def _absolute(folder: Path) -> Path:
    """The absolute path of the folder."""
    try:
        absolute = folder.expanduser().absolute()
        str(absolute).encode()
    except FileNotFoundError:
        raise EmbeddedFailed(
            f"The current folder was deleted, so {folder} cannot be found: give an absolute path with --data-dir."
        ) from None
    except RuntimeError:
        raise EmbeddedFailed(f"The home folder of {folder} is not known: set HOME, or --data-dir.") from None
    except UnicodeEncodeError:
        raise EmbeddedFailed(
            f"The path {os.fsencode(folder)!r} is not UTF-8 text: choose another folder with --data-dir."
        ) from None
    return absolute


class _Lock:
    """A file lock. The system releases it when the process ends in any way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self, *, shared: bool = False) -> bool:
        """Acquire it, or make a shared lock exclusive; whether that succeeded. Raises OSError."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
