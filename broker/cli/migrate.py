"""`titan migrate`: brings a store of an older layout to the present one."""

import click
from msgspec import Struct

from broker.cli.commands import TitanCommand
from broker.cli.event_loop import run
from broker.cli.options import example, json_option
from broker.cli.output import progress, show_json
from broker.cli.store_options import existing_store, store_options
from broker.core.errors import StartFailed
from broker.store.migrations import MigrationRefused
from broker.store.migrations import migrate as migrate_store


class Migrated(Struct, frozen=True):
    """What was done: the layout before and after each migration."""

    layout: int | None
    migrations: list[dict[str, object]]


@example("titan migrate", "titan migrate --redis-url redis://localhost:6379/0")
@click.command(cls=TitanCommand)
@store_options
@json_option
@click.pass_context
def migrate(context: click.Context, /, *, as_json: bool, **_: object) -> None:
    """Bring a store of an older layout to the present one, in steps.

    It may be interrupted and run again. It changes nothing in a store that has the present layout.
    """
    done = run(_migrate(context))
    if as_json:
        show_json(done)
    elif not done.migrations:
        click.echo(f"Nothing to do: the store has layout {done.layout}." if done.layout else "Nothing to do.")
    for one in () if as_json else done.migrations:
        click.echo(f"layout {one['before']} -> {one['after']}: {one['what']}")


async def _migrate(context: click.Context) -> Migrated:
    async with existing_store(context) as store:
        try:
            with progress(None, "record", is_wanted=True) as bar:
                done = await migrate_store(store, bar.update)
            await store.verify()
            layout = await store.layout()
        except MigrationRefused as error:
            raise StartFailed(str(error)) from error
    steps: list[dict[str, object]] = [{"before": one.before, "after": one.after, "what": one.what} for one in done]
    return Migrated(layout, steps)
