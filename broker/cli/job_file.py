"""Files of jobs in TOML or JSON, for `titan flow` and `titan batch`."""

import tomllib
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from broker.cli.client_options import error_text
from broker.core.errors import Invalid
from broker.http.request.decoding import decode

Kind = TypeVar("Kind")


def read_job_file(file: Path, kind: type[Kind]) -> Kind:
    """What a file has, as the API would read it: a name that is no field is refused, since it may be a typing error.

    Raises UsageError for a file that is not valid.
    """
    try:
        content = file.read_bytes()
        given = content if file.suffix == ".json" else msgspec.json.encode(tomllib.loads(content.decode()))
        return decode(kind, given)
    except Invalid as error:
        raise click.UsageError(f"{file}: {error_text(error)}") from None
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {error}") from None
