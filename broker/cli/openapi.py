"""`titan openapi`: the API as a document."""

import click
import msgspec

from broker.cli.options import example
from broker.http.openapi import document


@click.command(epilog=example("titan openapi > titan.json"))
def openapi() -> None:
    """Print the API as an OpenAPI 3.1 document, in JSON; a broker serves the same at /v1/openapi.json."""
    click.echo(msgspec.json.format(msgspec.json.encode(document())))
