"""The words that a shell completes by asking the broker: names of groups and workers.

Whatever goes wrong, nothing is completed, and nothing is printed: the shell shows a prompt that people type into.
"""

import asyncio
from collections.abc import Awaitable, Callable

import click
from click.core import ParameterSource

LIMIT_S = 0.3
"""How long the broker may take, in s."""
_MOST = 1000


def groups(context: click.Context, part: str) -> list[str]:
    """The groups whose names begin with `part`."""
    from worker.client import Client

    async def names(client: Client) -> list[str]:
        found, _ = await client.groups(_MOST)
        return [group.name for group in found]

    return _asked(context, part, names)


def workers(context: click.Context, part: str) -> list[str]:
    """The workers whose names begin with `part`."""
    from worker.client import Client

    async def names(client: Client) -> list[str]:
        found, _ = await client.workers(_MOST)
        return [worker.name for worker in found]

    return _asked(context, part, names)


def _asked(context: click.Context, part: str, names: Callable[..., Awaitable[list[str]]]) -> list[str]:
    try:
        return [name for name in asyncio.run(_ask(context, names)) if name.startswith(part)]
    except (Exception, SystemExit):  # noqa: BLE001 -- a shell completes
        return []


async def _ask(context: click.Context, names: Callable[..., Awaitable[list[str]]]) -> list[str]:
    from broker.cli.contexts import current_context
    from broker.core.settings_schema import token_from
    from titan.addresses import tls_of
    from worker.client import Client

    given = {name: context.params.get(name) or "" for name in ("broker_url", "token_file", "ca_file", "cert_file")}
    if context.get_parameter_source("broker_url") in (None, ParameterSource.DEFAULT):
        known = current_context()
        given["broker_url"] = ";".join(known.broker_url) or given["broker_url"]
        given |= {name: given[name] or getattr(known, name) for name in ("token_file", "ca_file", "cert_file")}
    urls = [url for url in given["broker_url"].split(";") if url]
    tls = tls_of(given["ca_file"], given["cert_file"])
    async with asyncio.timeout(LIMIT_S):
        async with Client(urls, token=token_from(given["token_file"]), tls=tls) as client:
            return await names(client)
