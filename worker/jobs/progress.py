"""How far a job is, as it says itself: the heartbeat sends it with the next touch."""

import re
from collections.abc import Callable
from typing import NamedTuple

from worker.jobs.texts import clipped, utf8_text

MAX_NOTE = 256
"""Characters of a note that the broker accepts."""
LAST_BYTES = 4096
"""How much of the end of a file is read: the last line counts."""
_LINE = re.compile(r"(?:(?P<percent>\d{1,3})(?:\.\d*)?%?(?:\s+|$))?(?P<note>.*)", re.DOTALL)


class Said(NamedTuple):
    """What a job said last. None and "" are nothing."""

    percent: int | None = None
    note: str = ""


NOTHING = Said()


class JobProgress:
    """Of one delivery. `read` gives the present end of its file, if it has one."""

    def __init__(self) -> None:
        self.read: Callable[[], bytes] | None = None
        self._said = NOTHING
        self._sent = NOTHING
        self.is_refused = False
        """Whether the broker does not take it, since it is older."""

    def say(self, percent: float | None, note: str = "") -> None:
        """Note how far the job is. Never raises, whatever it is given."""
        self._said = said_of(percent, note)

    def unsent(self) -> Said:
        """What the broker does not have yet."""
        if self.read is not None:
            self._said = said_in(self.read()) or self._said
        return NOTHING if self.is_refused or self._said == self._sent else self._said

    def sent(self, said: Said) -> None:
        """Note that the broker has this."""
        if said != NOTHING:
            self._sent = said


def said_in(text: bytes) -> Said | None:
    """The last line of a file that has a text: `40 half of it`, `40 %`, or a note alone. None if there is none."""
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    found = _LINE.fullmatch(lines[-1].strip()) if lines else None
    if found is None:
        return None
    note = found["note"].removeprefix("%").strip()
    return said_of(int(found["percent"]) if found["percent"] else None, note)


def said_of(percent: object, note: object) -> Said:
    """A percent within its bounds, and a note that can be sent. What is neither is left out."""
    is_number = isinstance(percent, int | float) and percent == percent  # noqa: PLR0124 -- not NaN
    within = round(min(100, max(0, percent))) if isinstance(percent, int | float) and is_number else None
    return Said(within, clipped(utf8_text(note), MAX_NOTE) if isinstance(note, str) else "")
