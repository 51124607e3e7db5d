"""Which lines of which scripts a test runs on fakeredis. A test that does not run a line does not find its mutants."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from broker.resp import script_source
from tests import fake_scripts

_HOOK = """
local all, seen = {}, nil
local function note(_, line) seen[line] = true end
local function watch(verb)
  all[verb] = all[verb] or {}
  seen = all[verb]
  debug.sethook(note, 'l')
end
local function take() local taken = all; all = {}; return taken end
return { watch, debug.sethook, take }
"""
Lines = dict[str, int]
"""By verb a bit for each line of its script, the first of them 1 << 1."""


class Watch:
    """Notes lines from when it is made, until `end`."""

    def __init__(self) -> None:
        self.ignored: frozenset[str] = frozenset()
        """Verbs whose lines are not noted now."""
        self._patch = pytest.MonkeyPatch()
        self._plain = fake_scripts._Mixin.evalsha
        self._verbs = {_sha(script.plain): name for name, script in script_source.SCRIPTS.items()}
        self._hooks: dict[int, tuple[Any, Callable[..., None], Callable[[], None], Callable[[], Any]]] = {}

        def watched(socket: Any, sha: bytes, n: int, *words: bytes) -> Any:
            verb = self._verbs.get(sha, "")
            if not verb or verb in self.ignored:
                return self._plain(socket, sha, n, *words)
            _, watch, rest, _ = self._hook(fake_scripts._lua.open(socket))
            watch(verb.encode())
            try:
                return self._plain(socket, sha, n, *words)
            finally:
                rest()

        self._patch.setattr(fake_scripts._Mixin, "evalsha", watched)

    def take(self) -> Lines:
        """The lines that ran since the last call."""
        lines: Lines = {}
        for _, _, _, take in self._hooks.values():
            for verb, numbers in take().items():
                lines[verb.decode()] = lines.get(verb.decode(), 0) | sum(1 << number for number in numbers)
        return lines

    def end(self) -> None:
        """Note no more."""
        self._patch.undo()

    def _hook(self, runtime: Any) -> tuple[Any, Callable[..., None], Callable[[], None], Callable[[], Any]]:
        if id(runtime) not in self._hooks:
            self._hooks[id(runtime)] = (runtime, *runtime.execute(_HOOK).values())
        return self._hooks[id(runtime)]


def _sha(text: str) -> bytes:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode()


@cache
def _first_lines(path: Path) -> dict[str, int]:
    """By verb whose script has the file: the number of its first line there."""
    text = path.read_text("utf-8")
    whole = {name: script.plain for name, script in script_source.SCRIPTS.items() if text in script.plain}
    return {name: plain[: plain.index(text)].count("\n") + 1 for name, plain in whole.items()}


def tests_of_line(path: Path, number: int, lines: dict[str, Lines]) -> set[str]:
    """The tests that run this line of the file; for one that nobody runs by itself, the nearest one above."""
    firsts = _first_lines(path)
    for above in range(number):
        found = {test for test, own in lines.items() if _runs(own, firsts.items(), number - 1 - above)}
        if found:
            return found
    return set()


def _runs(own: Lines, firsts: Iterable[tuple[str, int]], at: int) -> bool:
    return any(own.get(verb, 0) >> (first + at) & 1 for verb, first in firsts)
