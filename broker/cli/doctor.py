"""`titan doctor`: checks that the store is set up to keep jobs safely."""

import click

from broker.cli.event_loop import run
from broker.cli.options import example, json_option
from broker.cli.output import listing
from broker.cli.store_options import existing_store, store_options
from broker.diagnostics.doctor import DoctorLine, look

_COLUMNS = ("about", "state", "found", "what to do")


@example("titan doctor", "titan doctor --redis-url redis://localhost:6379/0")
@click.command()
@store_options
@json_option
@click.pass_context
def doctor(context: click.Context, /, *, as_json: bool, **_: object) -> None:
    """Check the store: version, persistence, eviction, memory, clock, partitions, reaper.

    Each line is ok, or has advice. The exit code is 1 when something is wrong.
    """
    lines = run(_lines(context))
    with listing("lines", _COLUMNS, _cells, as_json=as_json) as shown:
        shown.show(lines)
    context.exit(1 if any(line.state == "wrong" for line in lines) else 0)


async def _lines(context: click.Context) -> list[DoctorLine]:
    async with existing_store(context) as store:
        return [line async for line in look(store)]


def _cells(line: DoctorLine) -> tuple[str, ...]:
    return (line.about, line.state, line.found, line.advice)
