"""Options that name a store, and a connection to that store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from broker.cli.options import settings_from, settings_options
from broker.core.errors import StartFailed, TitanError
from broker.core.settings import BrokerSettings
from broker.store.connect import Connected, connected
from broker.store.job_store import JobStore

F = TypeVar("F", bound=Callable[..., Any])

store_options = settings_options(
    BrokerSettings, only=("redis_url", "data_dir", "partitions", "key_prefix", "store_timeout_s")
)


@asynccontextmanager
async def existing_store(context: click.Context) -> AsyncIterator[JobStore]:
    """The store of the command's options. An embedded store must exist already. Raises StartFailed."""
    async with existing_connection(context) as found:
        yield found.store


@asynccontextmanager
async def existing_connection(context: click.Context) -> AsyncIterator[Connected]:
    """The same store, with its address."""
    settings = settings_from(context, BrokerSettings)
    if not settings.redis_url and not _exists(settings.data_dir):
        raise StartFailed(f"There is no store in {settings.data_dir}: name it with --data-dir, or --redis-url.")
    async with connected(settings) as found:
        try:
            yield found
        except TitanError as error:
            raise StartFailed(f"The store at {found.address}: {error.__cause__ or error.message}") from error


def _exists(folder: str) -> bool:
    return Path(folder).expanduser().is_dir()
