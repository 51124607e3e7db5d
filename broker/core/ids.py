"""Job ids: 16 characters of [0-9A-Za-z], made by the broker. They sort by creation.

Seven characters are the milliseconds since 1970 (until the year 2081). Nine are a counter, which starts at a random
number in each process (53 bits). So the ids of one broker always rise, and those of several brokers are different.
"""

import secrets
import time

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_COUNTER_LIMIT = 62**9
_LENGTH = 16


class Ids:
    """The source of ids of a process."""

    def __init__(self) -> None:
        self._ms = 0
        self._time = ""
        self._counter = secrets.randbelow(_COUNTER_LIMIT)
        self._high = -1
        self._high_digits = ""

    def take(self, n: int) -> list[str]:
        """Make n new ids, in rising order."""
        ms = time.time_ns() // 1_000_000
        if ms > self._ms or self._counter + n >= _COUNTER_LIMIT:
            self._ms = max(ms, self._ms + 1)
            self._time = _digits(self._ms, 7)
        if self._counter + n >= _COUNTER_LIMIT:
            self._counter = 0
        ids: list[str] = []
        while len(ids) < n:
            pairs = self._last_pairs(n - len(ids))
            beginning = self._time + self._high_digits
            ids += [beginning + pair for pair in pairs]
        return ids

    def _last_pairs(self, n: int) -> tuple[str, ...]:
        """Advance the counter; the last two digits of the next ids, at most n, which share all digits before them."""
        high, last = divmod(self._counter, len(_PAIRS))
        if high != self._high:
            self._high, self._high_digits = high, _digits(high, 7)
        pairs = _PAIRS[last : last + n]
        self._counter += len(pairs)
        return pairs


def is_id(text: str) -> bool:
    """Whether the text has the form of an id."""
    return len(text) == _LENGTH and text.isascii() and text.isalnum()


def lease_token() -> str:
    """The first part of the lease tokens of one call: 64 random bits. The script adds a number for each job."""
    return _digits(secrets.randbits(64), 11)


def _digits(number: int, length: int) -> str:
    pairs = []
    for _ in range(length // 2):
        number, pair = divmod(number, 3844)
        pairs.append(_PAIRS[pair])
    if length % 2:
        pairs.append(_ALPHABET[number])
    return "".join(reversed(pairs))
