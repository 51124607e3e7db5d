"""Opens the store that the settings name: the embedded one in the data folder, or one at an address."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from broker.core.errors import StartFailed, TitanError
from broker.core.settings import BrokerSettings
from broker.embedded.supervisor import Embedded, EmbeddedFailed
from broker.resp.marks import StoreDiffers, kept_partitions
from broker.resp.redis_cli import redis_cli
from broker.resp.topology import topology_of
from broker.resp.url import addresses, without_password
from broker.store.job_store import JobStore

NEW_PARTITIONS = 1
"""Partitions of a new store whose number nobody gives."""


class Connected(NamedTuple):
    """The store, its address without the password, and the command line that opens redis-cli on it."""

    store: JobStore
    address: str
    redis_cli: str


@asynccontextmanager
async def connected(settings: BrokerSettings, *, is_asked: bool = True) -> AsyncIterator[Connected]:
    """The store, asked for its number of partitions if none is given, and without `is_asked` for nothing.

    The embedded server is started, or shared with the brokers that use it. Raises StartFailed.
    """
    async with AsyncExitStack() as stack:
        url, address = settings.redis_url, without_password(settings.redis_url)
        line = ""
        try:
            if not url:
                embedded = await stack.enter_async_context(Embedded(Path(settings.data_dir)))
                url = address = embedded.url
                line = embedded.redis_cli
            found = addresses(url)
            line = line or redis_cli(found[0])
            timeout_s, connections = settings.store_timeout_s, settings.store_connections
            partitions = settings.partitions
            if not partitions and is_asked:
                partitions = await kept_partitions(found, settings.key_prefix, timeout_s) or 0
            partitions = partitions or max(NEW_PARTITIONS, len(found))
            settings = msgspec.structs.replace(settings, partitions=partitions)
            topology = topology_of(found, settings.key_prefix, settings.partitions, timeout_s, connections)
            stack.push_async_callback(topology.close)
        except EmbeddedFailed as error:
            raise StartFailed(str(error)) from error
        except TitanError as error:
            raise StartFailed(f"The store at {address} does not answer: {error.__cause__ or error}") from error
        except ValueError as error:
            raise StartFailed(f"{address} is not the address of a store: {error}") from error
        store = JobStore(topology, settings)
        stack.push_async_callback(store.close)
        yield Connected(store, address, line)


@asynccontextmanager
async def opened(settings: BrokerSettings) -> AsyncIterator[Connected]:
    """The store, after it has answered, and its layout and number of partitions were checked. Raises StartFailed."""
    async with connected(settings) as found:
        try:
            await found.store.open()
        except StoreDiffers as error:
            raise StartFailed(str(error)) from error
        except TitanError as error:
            raise StartFailed(f"The store at {found.address} does not answer: {error.__cause__ or error}") from error
        yield found
