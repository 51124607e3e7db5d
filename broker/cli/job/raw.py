"""`titan job show --raw`: prints how the store keeps a job, for people who know redis-cli."""

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from broker.cli.client_options import Refused, option
from broker.cli.output import page, show_json
from broker.cli.safe_text import line
from broker.cli.store_options import existing_store, store_options
from broker.core.errors import StartFailed

if TYPE_CHECKING:
    from broker.diagnostics.raw_job import RawJob

F = TypeVar("F", bound=Callable[..., Any])


def raw_options(command: F) -> F:
    """Add --raw, and the options that name a store."""
    raw = option(
        "--raw",
        is_flag=True,
        help="Show how the store keeps the job. Needs no broker.",
    )
    decorated: F = raw(store_options(command))
    return decorated


async def show_raw(group: str, job_id: str, *, as_json: bool) -> None:
    """Print how the store of the command's options keeps a job. Raises Refused."""
    from broker.diagnostics.raw_job import raw_job

    try:
        async with existing_store(click.get_current_context()) as store:
            found = await raw_job(store, group, job_id)
    except StartFailed as error:
        raise Refused(str(error)) from error
    if found is None:
        raise Refused("The store has no such job in this group.")
    if as_json:
        show_json({"job": found})
    else:
        _show(found)


def _show(job: "RawJob") -> None:
    click.echo(page([("partition", job.partition), ("status", job.status or "none, or more than one: titan check")]))
    for value in job.values:
        click.echo(f"\n{value.label}: {line(shlex.join(value.command))}")
        rows = [*((("value", value.value),) if value.value else ()), *value.meaning.items()]
        click.echo("\n".join(f"  {text}" for text in page(rows).splitlines()))
