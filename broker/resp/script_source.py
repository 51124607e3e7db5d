"""The source of the Lua scripts, read from lua/.

A script consists of `lib/prelude.lua`, the parts of `lib/` that its header names after `with`, and its own file in
`verbs/`. Its first line is `#!lua` with the header's flags. They show the store which scripts may run when it is full.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_LUA = Path(__file__).parents[2] / "lua"
VERBS = _LUA / "verbs"
"""The callable scripts, one file each."""
LIB = _LUA / "lib"
"""The parts that scripts share."""
_HEADER = re.compile(r"^-- (\S+)\s+(.*)$")
_SLOT = re.compile(r"^(KEYS|ARGV)\[(\d+)\]$")


class Slot(NamedTuple):
    """One element of KEYS or ARGV, as the header describes it."""

    name: str
    meaning: str


class Script(NamedTuple):
    """One script and the contents of its header. `plain` is its text without the `#!lua` line."""

    name: str
    summary: str
    keys: tuple[Slot, ...]
    arguments: tuple[Slot, ...]
    moves: tuple[str, ...]
    refuses: tuple[str, ...]
    flags: str
    parts: tuple[str, ...]
    plain: str

    @property
    def text(self) -> str:
        """The text that is sent to the store."""
        return f"#!lua{' flags=' + self.flags if self.flags else ''}\n{self.plain}"

    @property
    def sha(self) -> str:
        """The SHA-1 of the text, for EVALSHA."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _plain(parts: Sequence[str]) -> str:
    return "".join(_read(LIB / f"{part}.lua") + "\n" for part in parts)


def _made_later(parts: Sequence[str]) -> str:
    """Parts that few calls need: a function that makes their functions, and returns that of the last part.

    Each function of a script is made at each call, which takes the store about half a microsecond.
    """
    if not parts:
        return ""
    return f"local function load_{parts[-1]}()\n{_plain(parts)}return {parts[-1]}\nend\n"


def _read(path: Path) -> str:
    return path.read_text("utf-8")


def _script(name: str) -> Script:
    text = _read(VERBS / f"{name}.lua")
    header = [line for line in text.splitlines() if line.startswith("--")]
    summary = header[0].removeprefix(f"-- {name}: ")
    slots: dict[str, list[Slot]] = {"KEYS": [], "ARGV": []}
    fields: dict[str, str] = {}
    last = ""
    for line in header[1:]:
        if (found := _HEADER.match(line)) is None:
            if last in {"moves", "with"}:
                fields[last] += " " + line.removeprefix("--").strip()
            continue
        last = found[1]
        if slot := _SLOT.match(found[1]):
            name_, _, meaning = found[2].partition(" ")
            slots[slot[1]].append(Slot(name_, meaning.strip()))
        elif found[1] in {"moves", "refuses", "flags", "with"}:
            fields[found[1]] = found[2].strip()
    now, _, later = (named.strip(")").split() for named in fields.get("with", "").partition("("))
    return Script(
        name=name,
        summary=summary,
        keys=tuple(slots["KEYS"]),
        arguments=tuple(slots["ARGV"]),
        moves=tuple(fields["moves"].split(", ")) if fields["moves"] != "-" else (),
        refuses=tuple(fields["refuses"].split()) if fields["refuses"] != "-" else (),
        flags=fields.get("flags", ""),
        parts=("prelude", *now, *later),
        plain=_plain(["prelude", *now]) + _made_later(later) + text,
    )


SCRIPTS: dict[str, Script] = {path.stem: _script(path.stem) for path in sorted(VERBS.glob("*.lua"))}
"""Every script by its verb."""
