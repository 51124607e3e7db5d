"""`titan lua`: shows the Lua scripts exactly as they are sent to the store."""

import click
import msgspec
from msgspec import Struct

from broker.cli.commands import TitanCommand
from broker.cli.options import example, json_option
from broker.cli.output import listing
from broker.resp.script_source import SCRIPTS, Script


class ScriptRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of the output. `text` is set only when one script is printed."""

    verb: str
    sha: str
    keys: tuple[str, ...]
    flags: str
    summary: str
    text: str = ""


@example("titan lua", "redis-cli --eval <(titan lua groups) 'titan:{0}' , 10 ''")
@click.command(cls=TitanCommand)
@click.argument("verb", required=False)
@json_option
def lua(verb: str | None, *, as_json: bool) -> None:
    """List the Lua scripts, or print one with all parts that it includes, for redis-cli --eval."""
    if verb is None:
        with listing("scripts", ("verb", "sha", "keys", "flags", "summary"), _cells, as_json=as_json) as shown:
            shown.show([_row(script) for script in SCRIPTS.values()])
    elif verb not in SCRIPTS:
        raise click.BadParameter(f"{verb!r} is not one of {', '.join(SCRIPTS)}.", param_hint="VERB")
    elif as_json:
        click.echo(msgspec.json.encode(msgspec.structs.replace(_row(SCRIPTS[verb]), text=SCRIPTS[verb].text)))
    else:
        click.echo(SCRIPTS[verb].text, nl=False)


def _row(script: Script) -> ScriptRow:
    return ScriptRow(
        verb=script.name,
        sha=script.sha,
        keys=tuple(key.name for key in script.keys),
        flags=script.flags,
        summary=script.summary,
    )


def _cells(row: ScriptRow) -> tuple[str, ...]:
    return (row.verb, row.sha, " ".join(row.keys), row.flags or "-", row.summary)
