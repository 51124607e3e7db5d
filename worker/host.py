"""The names of this machine and of the worker, in a form that the broker accepts.

A host name is bytes. The contract requires text without control characters, and few characters in names of workers.
"""

import os
import platform
import re
from functools import cache

_LONGEST_HOST = 255
_LONGEST_NAME = 128
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@cache
def host_name() -> str:
    """The host name: bytes that are not UTF-8, and control characters, each as U+FFFD."""
    text = os.fsencode(platform.node()).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)[:_LONGEST_HOST]


def own_name() -> str:
    """The default name of a worker: host and process, with - for characters that are not allowed."""
    number = f"-{os.getpid()}"
    return (_NOT_IN_A_NAME.sub("-", platform.node()) or "worker")[: _LONGEST_NAME - len(number)] + number
