"""The recipes of a page: its fenced blocks marked `sh recipe`, and the block of `text` after each, what they print."""

import re
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[2] / "broker" / "docs"
"""The pages."""
_BLOCK = re.compile(r"^```(\S*)(?: ([^\n]+))?\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)
_ANY = "\N{HORIZONTAL ELLIPSIS}"


class Recipe(NamedTuple):
    """One recipe. `needs` holds the words after `recipe`; `prints` is None where the page does not say."""

    line: int
    needs: frozenset[str]
    text: str
    prints: str | None

    def printed(self, output: str) -> bool:
        """Whether this is what the page says: an ellipsis stands for any text in a line, alone for any lines."""
        if self.prints is None:
            return True
        rows = [r"(?:.*\n)*?" if row == _ANY else _row(row) for row in self.prints.splitlines()]
        return re.fullmatch("".join(rows), output) is not None


def recipes(path: Path) -> list[Recipe]:
    """The recipes of a page, in order."""
    text = path.read_text("utf-8")
    blocks = list(_BLOCK.finditer(text))
    found = []
    for block, following in zip_longest(blocks, blocks[1:]):
        words = (block[2] or "").split()
        if words[:1] != ["recipe"]:
            continue
        tells = following is not None and following[1] == "text" and following.start() == block.end()
        line = text.count("\n", 0, block.start()) + 1
        found.append(Recipe(line, frozenset(words[1:]), block[3], following[3] if following and tells else None))
    return found


def _row(row: str) -> str:
    return ".*".join(re.escape(piece) for piece in row.split(_ANY)) + "\n"
