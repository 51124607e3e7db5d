"""Options that name a store, and a connection to that store."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from broker.cli.options import settings_from, settings_options
from broker.core.errors import StartFailed, TitanError
from broker.core.settings import BrokerSettings
from broker.models.fields import GROUP_NAME

if TYPE_CHECKING:
    from broker.store.connect import Connected
    from broker.store.job_store import JobStore

F = TypeVar("F", bound=Callable[..., Any])

store_options = settings_options(
    BrokerSettings, only=("redis_url", "data_dir", "partitions", "key_prefix", "store_timeout_s")
)


@asynccontextmanager
async def existing_store(context: click.Context) -> AsyncIterator["JobStore"]:
    """The store of the command's options. An embedded store must exist already. Raises StartFailed."""
    async with existing_connection(context) as found:
        yield found.store


@asynccontextmanager
async def existing_connection(context: click.Context, *, is_asked: bool = True) -> AsyncIterator["Connected"]:
    """The same store, with its address; without `is_asked` nothing was sent to it yet."""
    from broker.resp.marks import StoreDiffers
    from broker.store.connect import connected

    settings = settings_from(context, BrokerSettings)
    if not settings.redis_url and not _exists(settings.data_dir):
        raise StartFailed(f"There is no store in {settings.data_dir}: name it with --data-dir, or --redis-url.")
    async with connected(settings, is_asked=is_asked) as found:
        try:
            yield found
        except StoreDiffers as error:
            raise StartFailed(str(error)) from error
        except TitanError as error:
            raise StartFailed(f"The store at {found.address}: {error.__cause__ or error.message}") from error


def group_names(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of groups that an option gives. Raises BadParameter for what is no name."""
    for name in names:
        if re.fullmatch(GROUP_NAME, name) is None:
            raise click.BadParameter(f"{name!r} is not the name of a group.", ctx=context, param=parameter)
    return names


def names_store(context: click.Context) -> bool:
    """Whether a command with `store_options` has a store: one that is named, or one in the default data folder."""
    is_given = context.get_parameter_source("data_dir") is not ParameterSource.DEFAULT
    return bool(context.params["redis_url"]) or is_given or _exists(context.params["data_dir"])


def _exists(folder: str) -> bool:
    return Path(folder).expanduser().is_dir()
