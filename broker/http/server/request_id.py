"""The id of a request: the one that its client gave, or one that is made here. Its response and its lines have it."""

import re
import secrets
from itertools import count

HEADER = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_first = secrets.token_hex(6)
_numbers = count(1)


def request_id(given: str | None = None) -> str:
    """The id that the client gave, if it has 1 to 128 letters, digits or ._:/+=@-; else a new one."""
    if given is not None and _GIVEN.fullmatch(given) is not None:
        return given
    return f"{_first}-{next(_numbers):x}"
