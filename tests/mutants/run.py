"""Runs the contract tests on mutants: collected once, then a forked process for each, until a test fails."""

import os
import selectors
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.resp import script_source
from broker.resp.scripts import Scripts
from tests.mutants.lua import Mutant

TEST_LIMIT_S, TEST_LIMIT_TIMES = 5.0, 20
"""A mutant goes round for ever, and is found, when a test takes longer than this and so many times as long as usual."""
QUICK_S = 0.3
"""Tests that usually take longer are tried last, and only on what is about their own verb, or is part of many."""
NEAR_QUICK_S = 2.0
"""The same for tests that are about the verb, or found other mutants of the file: they are tried first."""


_PARTS = {name: {name, *script.parts} for name, script in script_source.SCRIPTS.items()}
"""The files that a verb's script is made of."""
Told = Callable[[Mutant, str], None]


class _Noting(dict[str, str]):
    """The SHAs of the scripts; which ones are asked for is noted."""

    def __init__(self, shas: dict[str, str], used: set[str]) -> None:
        super().__init__(shas)
        self._used = used

    def __getitem__(self, verb: str) -> str:
        self._used.add(verb)
        return super().__getitem__(verb)


class Runner:
    """A pytest plugin that runs mutants in place of the tests. `told` hears of each and of the test that found it."""

    def __init__(self, mutants: Sequence[Mutant], told: Told, limit_s: float) -> None:
        self.is_whole = False
        self._mutants = mutants
        self._told = told
        self._end = time.monotonic() + limit_s
        self._finders: dict[str, list[str]] = defaultdict(list)
        self.fault = ""
        self._failed = ""
        self._uses: dict[str, set[str]] = {}
        self._took_s: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Each mutant in a process of its own, until all are done or the time is over."""
        self._uses = self._look(session)
        if self.fault:
            return True
        for mutant in self._mutants:
            if time.monotonic() > self._end:
                return True
            finder = self._try(mutant, session)
            if finder:
                finders = self._finders[mutant.file]
                finders[:] = [finder, *(other for other in finders if other != finder)]
            self._told(mutant, finder)
        self.is_whole = True
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure of the test, or of the invariants after it."""
        if report.failed:
            self._failed = report.nodeid

    def _look(self, session: pytest.Session) -> dict[str, set[str]]:
        """Which verbs' scripts each test runs, found by running all of them; `fault` says when one fails as it is."""
        uses: dict[str, set[str]] = {}
        with pytest.MonkeyPatch.context() as patch:
            texts = Scripts.__init__
            used: set[str] = set()

            def note(scripts: Any, *args: Any, **options: Any) -> None:
                texts(scripts, *args, **options)
                scripts._shas = _Noting(scripts._shas, used)

            patch.setattr(Scripts, "__init__", note)
            for item in session.items:
                used.clear()
                began = time.monotonic()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                self._took_s[item.nodeid] = time.monotonic() - began
                uses[item.nodeid] = used - (set() if "check" in item.nodeid else {"check"})
                if self._failed and self._fails_again(item):
                    self.fault = f"{self._failed} fails on the scripts as they are"
                    break
                if self._failed:
                    uses[item.nodeid], self._failed = set(), ""
        return uses

    def _fails_again(self, item: Any) -> bool:
        """Whether a test that failed does so twice more; one that does not, on a busy machine, can find no mutant."""
        for _ in range(2):
            failed, self._failed = self._failed, ""
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if not self._failed:
                self._failed = failed
                return False
        return True

    def _try(self, mutant: Mutant, session: pytest.Session) -> str:
        """The test that found it, '' for none."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            try:
                self._be(mutant, session, write)
            finally:
                os._exit(0)
        os.close(write)
        try:
            return _hear(read, self._took_s)
        finally:
            os.close(read)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _be(self, mutant: Mutant, session: pytest.Session, write: int) -> None:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        session.config.option.tbstyle = "native"  # nobody reads the traceback, and others take longer
        break_script(mutant)
        for item in self._in_order(session.items, mutant.file):
            os.write(write, f"{item.nodeid}\n".encode())
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if self._failed:
                os.write(write, b"FOUND\n")
                return
        os.write(write, b"NOT FOUND\n")

    def _in_order(self, items: Sequence[Any], file: str) -> list[Any]:
        """Those that run the file: what found others of it, what is about its verb, the rest, the slow; by time."""
        finders = self._finders[file]
        verbs = {name for name, text in _PARTS.items() if file in text}

        def is_tried(item: Any) -> bool:
            is_near = file not in script_source.SCRIPTS or file in item.nodeid or self._took_s[item.nodeid] <= QUICK_S
            return is_near and bool(self._uses[item.nodeid] & verbs)

        def rank(item: Any) -> tuple[int, float]:
            took_s, is_finder, is_near = self._took_s[item.nodeid], item.nodeid in finders, file in item.nodeid
            if took_s > (NEAR_QUICK_S if is_finder or is_near else QUICK_S):
                return 3, took_s
            if is_finder:
                return 0, finders.index(item.nodeid)
            return (1 if is_near else 2), took_s

        return sorted(filter(is_tried, items), key=rank)


def break_script(mutant: Mutant) -> None:
    """Have this process use the mutant in place of its file."""
    read = script_source._read

    def read_or_mutant(path: Path) -> str:
        return mutant.text if path.stem == mutant.file else read(path)

    script_source._read = read_or_mutant
    script_source.SCRIPTS.update({name: script_source._script(name) for name in script_source.SCRIPTS})


def run(mutants: Sequence[Mutant], told: Told, limit_s: float) -> bool:
    """Run the contract tests on each mutant; whether all were reached in `limit_s`. Raises SystemExit."""
    contract = Path(__file__).parents[1] / "contract"
    runner = Runner(mutants, told, limit_s)
    words = [word for name in ("randomly", "cacheprovider", "xdist", "terminal") for word in ("-p", f"no:{name}")]
    words += ["-o", "addopts=--strict-markers"]
    pytest.main([*words, "-m", "not slow and not service", str(contract)], plugins=[runner])
    if runner.fault:
        raise SystemExit(runner.fault)
    return runner.is_whole


def _hear(read: int, took_s: Mapping[str, float]) -> str:
    said, limit_s = "", TEST_LIMIT_S
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ)
        while selector.select(limit_s):
            piece = os.read(read, 65_536).decode()
            said = (said + piece)[-10_000:]
            lines = said.splitlines()
            if not piece or said.endswith("NOT FOUND\n"):
                return "" if said.endswith("NOT FOUND\n") else f"{_last(lines)} (the process ended)"
            if said.endswith("FOUND\n"):
                return lines[-2]
            limit_s = max(TEST_LIMIT_S, TEST_LIMIT_TIMES * took_s.get(_last(lines), 0))
    return f"{_last(said.splitlines())} (no end)"


def _last(lines: Sequence[str]) -> str:
    return lines[-1] if lines else "the start"
