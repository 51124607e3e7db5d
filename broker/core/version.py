"""The version of Titan that runs."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def own_version() -> str:
    """The version of the installed package; '0' in a copy that was never installed."""
    try:
        return version("titan-broker")
    except PackageNotFoundError:
        return "0"
