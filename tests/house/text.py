"""Extracts the text that people read from the repository's files: pages, docstrings, other strings, comments."""

import io
import re
import tokenize
import tomllib
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).parents[2]
LIST = Path(__file__).with_name("riddles.toml")
_TEXTS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.COMMENT)}


class Riddle(NamedTuple):
    """An expression to avoid, and its replacement."""

    words: re.Pattern[str]
    say: str


class Found(NamedTuple):
    """A riddle in a file."""

    line: int
    words: str
    say: str


def riddles() -> list[Riddle]:
    """All rows of the list."""
    rows = tomllib.loads(LIST.read_text("utf-8"))["riddle"]
    return [
        Riddle(re.compile(row["words"].replace(" ", r"\s+"), re.IGNORECASE | re.MULTILINE), row["say"]) for row in rows
    ]


def checked() -> list[Path]:
    """The files that must have no riddle."""
    globs = tomllib.loads(LIST.read_text("utf-8"))["checked"]
    return sorted({path for glob in globs for path in TOP.glob(glob)})


def find(path: Path) -> list[Found]:
    """The riddles in a file."""
    text = text_of(path)
    return [
        Found(text.count("\n", 0, found.start()) + 1, " ".join(found[0].split()), riddle.say)
        for riddle in riddles()
        for found in riddle.words.finditer(text)
    ]


def text_of(path: Path) -> str:
    """The text of a file, on its original lines; of a page everything except code."""
    source = path.read_text("utf-8")
    if path.suffix == ".md":
        return re.sub(r"^```.*?^```$|`[^`\n]*`", _blank, source, flags=re.MULTILINE | re.DOTALL)
    if path.suffix == ".lua":
        return "\n".join(line.partition("--")[2] for line in source.splitlines())
    lines = [""] * (source.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _TEXTS:
            for at, line in enumerate(token.string.splitlines(), token.start[0]):
                lines[at] += f" {line}"
    return "\n".join(lines[1:])


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n") or " … "
