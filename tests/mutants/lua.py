"""Which mutants a Lua file has: each is the file with one guard, comparison, figure or statement changed.

A mutant is named by what stands there, not by where: the file, the line's text, and the change. So it keeps its name
when lines move.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TOKEN = re.compile(r"--[^\n]*|'(?:\\.|[^'\\])*'|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\d+|[=~<>]=|\.\.|\S|\s+")
_SWAPS: dict[str, tuple[str, ...]] = {
    "==": ("~=",),
    "~=": ("==",),
    "<": ("<=", ">="),
    ">": (">=", "<="),
    "<=": ("<", ">"),
    ">=": (">", "<"),
    "+": ("-",),
    "-": ("+",),
    "and": ("or",),
    "or": ("and",),
    "not": ("",),
    "math.min": ("math.max",),
    "math.max": ("math.min",),
    "'NX'": ("'CH'",),
    "'LT'": ("'CH'",),
    "'-inf'": ("'+inf'",),
}
"""What each word becomes."""

_GUARD = re.compile(r"\b(?P<word>if|elseif|while)\b(?P<guard>.+?)\b(?:then|do)\b")
_CALL = re.compile(r"^[a-z][\w.]*\(.*\)$")
_ASSIGNMENT = re.compile(r"^[a-z][\w.,\[\]#+*: ]* = .+$")
_KEYWORDS = ("local ", "if ", "for ", "return", "end", "else", "elseif ", "while ", "--")


class Mutant(NamedTuple):
    """One change. `line` is the text of line `number`, without indentation; `text` the whole file with the change."""

    path: Path
    number: int
    line: str
    change: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file, without .lua. A verb and a part may have the same."""
        return self.path.stem

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is known by."""
        return self.file, self.line, self.change


def mutants(path: Path) -> list[Mutant]:
    """All mutants of a file, in its order."""
    lines, found = path.read_text("utf-8").splitlines(keepends=True), []
    times: Counter[tuple[str, str]] = Counter()
    for number, line in enumerate(lines):
        if line.startswith("--") or not line.strip():
            continue
        for change, changed in _changes(line.rstrip("\n")):
            times[line.strip(), change] += 1
            count = times[line.strip(), change]
            whole = "".join([*lines[:number], changed + "\n", *lines[number + 1 :]])
            found.append(
                Mutant(path, number + 1, line.strip(), change + (f", time {count}" if count > 1 else ""), whole)
            )
    return found


def _changes(line: str) -> Iterator[tuple[str, str]]:
    yield from _swaps(line)
    yield from _guards(line)
    yield from _removals(line)


def _swaps(line: str) -> Iterator[tuple[str, str]]:
    before = ""
    for token in _TOKEN.finditer(line):
        word = token[0]
        if word.startswith("--"):
            return
        others = _SWAPS.get(word, ())
        if word.isdigit() and before != "[":
            others = (str(int(word) + 1 if int(word) > 1 else 1 - int(word)),)
        for other in others:
            yield f"{word} -> {other or 'nothing'}", line[: token.start()] + other + line[token.end() :]
        before = word if word.strip() else before


def _guards(line: str) -> Iterator[tuple[str, str]]:
    for found in _GUARD.finditer(line):
        for always in ("true", "false"):
            if found["word"] == "while" and always == "true":
                continue
            changed = f"{line[: found.start('guard')]} {always} {line[found.end('guard') :]}"
            yield f"{found['word']} {always}", changed


def _removals(line: str) -> Iterator[tuple[str, str]]:
    code = line.partition(" --")[0]
    indent = code[: len(code) - len(code.lstrip())]
    pieces = code.strip().split("; ")
    for i, piece in enumerate(pieces):
        if _is_statement(piece):
            rest = "; ".join(pieces[:i] + pieces[i + 1 :])
            yield f"without {piece}" if len(pieces) > 1 else "removed", indent + rest


def _is_statement(text: str) -> bool:
    if text.startswith(_KEYWORDS) or any(text.count(a) != text.count(b) for a, b in ("()", "{}", "[]")):
        return False
    if re.search(r"\b(function|then|do)\b", text):
        return False
    return bool(_CALL.match(text) or _ASSIGNMENT.match(text))
