"""What this machine is called, as a worker says it: whatever its host name is, the broker takes the words.

A host name is bytes; the contract has text without control characters, and names of workers of few letters.
"""

import os
import platform
import re
from functools import cache

_LONGEST_HOST = 255
_LONGEST_NAME = 128
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@cache
def host_name() -> str:
    """The host name: bytes that are not UTF-8, and control characters, each as U+FFFD."""
    text = os.fsencode(platform.node()).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)[:_LONGEST_HOST]


def own_name() -> str:
    """The name of a worker that is given none: host and process, with a - for what a name may not have."""
    number = f"-{os.getpid()}"
    return (_UNFIT.sub("-", platform.node()) or "worker")[: _LONGEST_NAME - len(number)] + number
