"""Finding the store that the settings name: the embedded one of the data folder, or one at an address."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from broker.config import BrokerSettings
from broker.connection import connect
from broker.embedded import Embedded, EmbeddedFailed
from broker.errors import TitanError
from broker.store import PartitionsDiffer, Store
from broker.wire import Wire


class StartFailed(Exception):
    """Something that is needed at the start is not there; the text is one line that says what."""


class Connected(NamedTuple):
    """The store, its address without the password, the command line that looks into it, and its connection."""

    store: Store
    address: str
    redis_cli: str
    wire: Wire


@asynccontextmanager
async def connected(settings: BrokerSettings) -> AsyncIterator[Connected]:
    """The store, not asked anything yet; the embedded one is started, or joined, and left at the end.

    Raises StartFailed.
    """
    async with AsyncExitStack() as stack:
        url, address = settings.redis_url, without_password(settings.redis_url)
        redis_cli = f"redis-cli -u {address}"
        try:
            if not url:
                embedded = await stack.enter_async_context(Embedded(Path(settings.data_dir)))
                url = address = embedded.url
                redis_cli = embedded.redis_cli
            redis = connect(url, settings.store_timeout_s, settings.store_connections)
            stack.push_async_callback(redis.aclose)
            wire = Wire(url, timeout_s=settings.store_timeout_s)
            stack.push_async_callback(wire.close)
        except EmbeddedFailed as error:
            raise StartFailed(str(error)) from error
        except ValueError as error:
            raise StartFailed(f"{address} is not the address of a store: {error}") from error
        store = Store(redis, settings, wire)
        stack.push_async_callback(store.close)
        yield Connected(store, address, redis_cli, wire)


@asynccontextmanager
async def opened(settings: BrokerSettings) -> AsyncIterator[Connected]:
    """The store, known to answer and to have the right number of partitions. Raises StartFailed."""
    async with connected(settings) as found:
        try:
            await found.store.open()
        except PartitionsDiffer as error:
            raise StartFailed(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        except TitanError as error:
            raise StartFailed(f"The store at {found.address} does not answer: {error.__cause__ or error}") from error
        yield found


def without_password(url: str) -> str:
    """A store's address as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
