"""`titan openapi`: prints the description of the HTTP API."""

import click
import msgspec

from broker.cli.commands import TitanCommand
from broker.cli.options import example
from broker.http.openapi import document


@example("titan openapi > titan.json")
@click.command(cls=TitanCommand)
def openapi() -> None:
    """Print the API as an OpenAPI 3.1 document in JSON.

    A broker serves the same document at /v1/openapi.json.
    """
    click.echo(msgspec.json.format(msgspec.json.encode(document())))
