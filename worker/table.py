"""The table of what a worker can run: image -> argv, from `NAME='command arguments'`."""

import shlex
from collections.abc import Sequence

Argv = tuple[str, ...]


def read_table(entries: Sequence[str]) -> dict[str, Argv]:
    """Split each entry once, as a shell would, but run none. Raises ValueError that quotes the entry."""
    table: dict[str, Argv] = {}
    for entry in entries:
        image, equals, command = entry.partition("=")
        if not equals or not image.strip():
            raise ValueError(f"{entry!r} is not NAME='command arguments'")
        if image.strip() in table:
            raise ValueError(f"{entry!r} names an image that is in the table already")
        table[image.strip()] = _argv(entry, command)
    return table


def _argv(entry: str, command: str) -> Argv:
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"{entry!r} cannot be split into arguments: {error}") from None
    if not argv:
        raise ValueError(f"{entry!r} has no command")
    return argv
