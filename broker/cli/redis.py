"""`titan redis`: redis-cli on the store that the options name."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence

import click

from broker.cli.commands import TitanCommand
from broker.cli.event_loop import run
from broker.cli.options import example
from broker.cli.store_options import existing_connection, store_options
from broker.core.errors import StartFailed
from broker.embedded.server import package_cli
from broker.resp import keys
from broker.resp.redis_cli import RedisCli, redis_cli_for
from broker.resp.replies_to_errors import translate_errors
from broker.resp.url import addresses
from broker.store.connect import Connected

PROGRAMS = ("redis-cli", "valkey-cli")


@example("titan redis", "titan redis -- HGET 'titan:{0}:jobs' 0hYjB6dJb7Pq2Xk9")
@click.command("redis", cls=TitanCommand)
@store_options
@click.option(
    "--group",
    default="",
    metavar="GROUP",
    help="With several servers: open the one that holds this group. Without it, the one with the first partition.",
)
@click.argument("words", metavar="[-- WORD...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def redis_(context: click.Context, /, *, group: str, words: tuple[str, ...], **_: object) -> None:
    """Open redis-cli, or valkey-cli, on the store.

    The words after -- are passed on: a command, or options of redis-cli. The exit code is redis-cli's. The password of
    the address is passed in the environment (REDISCLI_AUTH), never as an argument.
    """
    # Ctrl-C belongs to redis-cli. A handler, unlike SIG_IGN, is not inherited by it.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        context.exit(run(_open(context, group, words)))
    finally:
        signal.signal(signal.SIGINT, before)


async def _open(context: click.Context, group: str, words: Sequence[str]) -> int:
    """Run redis-cli to its end; an embedded store runs until then. The exit code, or 128 plus a signal."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None) or package_cli()
    if program is None:
        raise StartFailed(f"Neither {' nor '.join(PROGRAMS)} is on the PATH: apt-get install redis-tools.")
    async with existing_connection(context, is_asked=bool(group)) as found:
        cli = await translate_errors(_cli_for(found, group))
        process = await asyncio.create_subprocess_exec(program, *cli.options, *words, env=os.environ | cli.environment)
        code = await process.wait()
    return code if code >= 0 else 128 - code


async def _cli_for(found: Connected, group: str) -> RedisCli:
    store = found.store
    partition = store.partitions[keys.partition_of(group, len(store.partitions)) if group else 0]
    at = 0 if store.topology.of(partition).is_clustered else store.topology.all.index(store.topology.of(partition))
    address = addresses(store.settings.redis_url or found.address)[at]
    return await redis_cli_for(address, partition, store.settings.store_timeout_s)
