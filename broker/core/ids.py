"""Job ids: 16 characters of [0-9A-Za-z], made by the broker, sorting by creation.

Seven characters of milliseconds since 1970 (good until the year 2081), nine of a number that begins at random in each
process and counts up, so that the ids of one broker never fall back and those of several do not meet (53 bits).
"""

import secrets
import time

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_TAIL = 62**9
_LENGTH = 16


class Ids:
    """A source of ids; one for each process."""

    def __init__(self) -> None:
        self._ms = 0
        self._head = ""
        self._tail = secrets.randbelow(_TAIL)
        self._rest = -1
        self._middle = ""

    def take(self, n: int) -> list[str]:
        """N new ids, in rising order."""
        ms = time.time_ns() // 1_000_000
        if ms > self._ms or self._tail + n >= _TAIL:
            self._ms = max(ms, self._ms + 1)
            self._head = _digits(self._ms, 7)
        if self._tail + n >= _TAIL:
            self._tail = 0
        ids: list[str] = []
        while len(ids) < n:
            pairs = self._last_pairs(n - len(ids))
            beginning = self._head + self._middle
            ids += [beginning + pair for pair in pairs]
        return ids

    def _last_pairs(self, n: int) -> tuple[str, ...]:
        """The last two digits of the next ids, n at most: as many as have the same digits before them."""
        rest, last = divmod(self._tail, len(_PAIRS))
        if rest != self._rest:
            self._rest, self._middle = rest, _digits(rest, 7)
        pairs = _PAIRS[last : last + n]
        self._tail += len(pairs)
        return pairs


def is_id(text: str) -> bool:
    """Whether the text has the form of an id."""
    return len(text) == _LENGTH and text.isascii() and text.isalnum()


def lease_token() -> str:
    """The first part of the lease tokens of one call; the script numbers them. 64 random bits."""
    return _digits(secrets.randbits(64), 11)


def _digits(number: int, length: int) -> str:
    pairs = []
    for _ in range(length // 2):
        number, pair = divmod(number, 3844)
        pairs.append(_PAIRS[pair])
    if length % 2:
        pairs.append(_ALPHABET[number])
    return "".join(reversed(pairs))
