"""`titan events`: what happens to jobs, one line for each event."""

import asyncio
from collections.abc import AsyncGenerator

import click
import msgspec

from broker.cli.client_options import option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.moments import clock
from broker.cli.options import RepeatableText, example
from broker.cli.quantities import PastMoment
from broker.cli.safe_text import line
from broker.cli.streams import end_with_reader
from broker.models.events import KINDS
from titan.errors import BrokerSilent
from titan.listening import PAUSE_S, Event, Listening
from worker.client import Client
from worker.daemon.backoff import PASSING, Backoff

_SHOWN_IDS = 3
"""The ids in one line; --json has up to 20."""
_encode = msgspec.json.Encoder().encode


@example("titan events -f", "titan events -f --kind failed --group mail", "titan events --since '1 hour ago' --json")
@click.command(cls=TitanCommand, short_help="Follow what happens to jobs, groups and workers.")
@option("-f", "--follow", is_flag=True, help="Continue with what happens now, until Ctrl-C.")
@option("--group", "groups", type=RepeatableText(), multiple=True, help="Only events of this group; repeatable.")
@option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only events of this kind; repeatable.")
@option("--since", default="", type=PastMoment(), help="Begin with the events since this time that are kept.")
@with_broker
async def events(
    client: Client,
    groups: tuple[str, ...],
    kinds: tuple[str, ...],
    since: str,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what happens: one line for what one broker did to jobs of one group in a tenth of a second.

    Brokers write events only while somebody listens, and keep the last ones for an hour. A line that begins with gap
    says that events are missing there. With -f it waits for a broker that is away. With --json each event is one JSON
    object in a line.
    """
    is_all_kept = not follow and not since
    listening = Listening(groups, kinds, "1970-01-01T00:00:00Z" if is_all_kept else since or None, "")
    async with end_with_reader():
        async for event in followed(client, listening, follow=follow):
            click.echo(_encode(event) if as_json else line(_words(event)))


async def followed(client: Client, listening: Listening, *, follow: bool) -> AsyncGenerator[Event, None]:
    """The events, over as many connections as needed; without `follow` those that are kept.

    With `follow` a broker that is away is waited for, from the start on, with a warning.
    """
    backoff = Backoff("events")
    while True:
        try:
            async with client.stream(listening.request, PAUSE_S) as answer:
                async for text in answer.content:
                    event = listening.feed(text)
                    backoff.succeeded()
                    if event is not None:
                        yield event
                    if listening.is_ready and not follow:
                        return
            await asyncio.sleep(listening.pause_s())
        except BrokerSilent:
            await asyncio.sleep(listening.pause_s())
        except PASSING as error:
            if not (follow or listening.has_begun):
                raise
            await asyncio.sleep(backoff.failed(error))


def _words(event: Event) -> str:
    if event.reason:
        return f"{event.kind}: {event.reason}"
    more = event.n - len(event.ids[:_SHOWN_IDS])
    ids = [*event.ids[:_SHOWN_IDS], *([f"and {more:,} more"] if event.ids and more > 0 else [])]
    number = f"{event.n:,}" if event.n > 1 or event.ids else ""
    words = [clock(event.at), event.kind.replace("_", " "), event.group, number, " ".join(ids)]
    return "  ".join([word for word in words if word] + ([f"by {event.by}"] if event.by else []))
