"""Text of other people that is safe on a terminal.

Jobs contain text of other people (reasons, payloads, logs). Control characters in it could take over the terminal of
the reader (CWE-150). So pages and tables omit them, and a log loses them on a terminal.
"""

import codecs
import re

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
_UNFINISHED = re.compile(r"(?:\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)|\r)\Z")
_LONGEST_SEQUENCE = 4096


def line(text: object) -> str:
    """A value as text without line breaks: control characters and white space become single spaces."""
    return " ".join(CONTROLS.sub(" ", str(text)).split())


def clean(text: str) -> str:
    """Text without control characters except tabs."""
    return "\t".join(CONTROLS.sub("", part) for part in text.split("\t"))


class TerminalText:
    """Turns the bytes of a log, part by part, into text that is safe on a terminal.

    It removes colours and other escape sequences, also one that is split over two parts, and every other control
    character except tab and newline. A carriage return becomes a new line, so that a log cannot overwrite its lines.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._held = ""

    def feed(self, piece: bytes, *, last: bool = False) -> str:
        """The safe text of the next part. An unfinished sequence at its end is kept for the next call."""
        text = self._held + self._decode(piece, last)
        text = _SEQUENCE.sub("", text)
        end = None if last else _UNFINISHED.search(text)
        cut = end.start() if end and len(end[0]) < _LONGEST_SEQUENCE else len(text)
        text, self._held = text[:cut], text[cut:]
        return "\n".join(clean(part) for part in re.split(r"\r\n|\r|\n", text))
