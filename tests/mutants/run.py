"""Runs the contract tests on mutants: collected once, then a forked process for each, until a test fails."""

import gc
import json
import os
import selectors
import signal
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.resp import script_source
from tests import conftest
from tests.mutants.lines import Lines, Watch, tests_of_line
from tests.mutants.lua import Mutant

TEST_LIMIT_S, TEST_LIMIT_TIMES = 2.0, 20
"""A mutant has no end, and is found, when a test takes more CPU than this and so many times as much as usual."""
STUCK_TIMES = 30
"""The same when it takes so many times that limit by the clock: other programs may have the CPU."""
QUICK_S = 0.3
"""Tests that usually take more CPU are tried last, and only on what is about their own verb, or is part of many."""
NEAR_QUICK_S = 2.0
"""The same for tests that are about the verb, or found other mutants of the file: they are tried first."""

STORE_TIMEOUT_S = 60.0
"""How long the store may take for a call: on a busy machine a test fails with less, and that does not find a mutant."""

_PARTS = {name: {name, *script.parts} for name, script in script_source.SCRIPTS.items()}
"""The files that a verb's script is made of."""
Told = Callable[[Mutant, str], None]


def _limit_s(took_s: float) -> float:
    return max(TEST_LIMIT_S, TEST_LIMIT_TIMES * took_s)


class _Child:
    """The process of one mutant, and what it said."""

    def __init__(self, mutant: Mutant, pid: int, read: int) -> None:
        self.mutant = mutant
        self.read = read
        self._pid = pid
        self._said = ""
        self.due = time.monotonic() + STUCK_TIMES * TEST_LIMIT_S

    def hear(self, took_s: Mapping[str, float]) -> str | None:
        """The test that found the mutant, '' for none; None while tests run."""
        piece = os.read(self.read, 65_536).decode()
        self._said = (self._said + piece)[-10_000:]
        lines = self._said.splitlines()
        if self._said.endswith("NOT FOUND\n"):
            return ""
        if self._said.endswith("FOUND\n"):
            return lines[-2]
        self.due = time.monotonic() + STUCK_TIMES * _limit_s(took_s.get(self.last, 0))
        return None if piece else f"{self.last} (the process ended)"

    @property
    def last(self) -> str:
        """The test that runs."""
        return (self._said.splitlines() or ["the start"])[-1]

    def end(self) -> None:
        """End the process, whatever it does."""
        os.close(self.read)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


class Runner:
    """A pytest plugin that runs mutants in place of the tests. `told` hears of each and of the test that found it."""

    def __init__(self, mutants: Sequence[Mutant], told: Told, limit_s: float, processes: int) -> None:
        self.is_whole = False
        self._processes = processes
        self._waiting = deque(mutants)
        self._told = told
        self._end = time.monotonic() + limit_s
        self._finders: dict[str, list[str]] = defaultdict(list)
        self.fault = ""
        self._failed = ""
        self._said_to: int | None = None
        self._lines: dict[str, Lines] = {}
        self._took_s: dict[str, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Each mutant in a process of its own, until all are done or the time is over."""
        conftest.STORE_TIMEOUT_S = STORE_TIMEOUT_S
        self._look(session)
        if not self.fault:
            self._run(session)
            self.is_whole = not self._waiting
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure of the test, or of the invariants after it. It ends the process of a mutant."""
        if report.failed:
            self._failed = report.nodeid
            if self._said_to is not None:
                os.write(self._said_to, b"FOUND\n")
                os._exit(0)

    def _look(self, session: pytest.Session) -> None:
        """Note which lines of scripts each test runs, by running all; `fault` says when one fails as it is.

        This process runs its share, so that the processes of mutants begin with compiled scripts.
        """
        reads = [self._start_looking(session.items[n :: self._processes]) for n in range(1, self._processes)]
        found = [self._looked(session.items[:: self._processes])]
        for read in reads:
            with os.fdopen(read) as file:
                text = file.read()
            found.append(json.loads(text) if text else ("A process ended while it ran the tests.", {}))
            os.wait()
        for fault, looked in found:
            self.fault = self.fault or fault
            for name, (took_s, bits) in looked.items():
                self._took_s[name] = took_s
                self._lines[name] = {verb: int(text, 16) for verb, text in bits.items()}

    def _start_looking(self, items: Sequence[Any]) -> int:
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                looked = json.dumps(self._looked(items))
                with os.fdopen(write, "w") as file:
                    file.write(looked)
            finally:
                os._exit(0)
        os.close(write)
        return read

    def _looked(self, items: Sequence[Any]) -> tuple[str, dict[str, tuple[float, dict[str, str]]]]:
        """The fault, and for each test how long it takes and which lines it runs, in hexadecimal."""
        found: dict[str, tuple[float, dict[str, str]]] = {}
        watch = Watch()
        for item in items:
            watch.ignored = frozenset() if "check" in item.nodeid else frozenset({"check"})
            began = time.process_time()  # of a busy machine the clock would say that all tests are slow
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            took_s, lines = time.process_time() - began, watch.take()
            found[item.nodeid] = took_s, {verb: f"{bits:x}" for verb, bits in lines.items()}
            if self._failed and self._fails_again(item):
                return f"{self._failed} fails on the scripts as they are", found
            if self._failed:
                found[item.nodeid], self._failed = (took_s, {}), ""
        watch.end()
        return "", found

    def _fails_again(self, item: Any) -> bool:
        """Whether a test that failed does so twice more; one that does not, on a busy machine, can find no mutant."""
        for _ in range(2):
            failed, self._failed = self._failed, ""
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if not self._failed:
                self._failed = failed
                return False
        return True

    def _run(self, session: pytest.Session) -> None:
        """Run mutants until none waits or the time is over, and those that have begun to their end."""
        running: set[_Child] = set()
        gc.freeze()  # a collection would write to each page that a process shares with this one
        with selectors.DefaultSelector() as selector:
            while True:
                while self._waiting and len(running) < self._processes and time.monotonic() < self._end:
                    child = self._start(self._waiting.popleft(), session)
                    running.add(child)
                    selector.register(child.read, selectors.EVENT_READ, child)
                if not running:
                    return
                soon_s = max(0, min(child.due for child in running) - time.monotonic())
                found = {key.data: key.data.hear(self._took_s) for key, _ in selector.select(soon_s)}
                late = {child for child in running - found.keys() if child.due <= time.monotonic()}
                for child, finder in (found | {child: f"{child.last} (no end)" for child in late}).items():
                    if finder is not None:
                        running.remove(child)
                        selector.unregister(child.read)
                        child.end()
                        self._note(child.mutant, finder)

    def _note(self, mutant: Mutant, finder: str) -> None:
        if finder:
            finders = self._finders[mutant.file]
            finders[:] = [finder, *(other for other in finders if other != finder)]
        self._told(mutant, finder)

    def _start(self, mutant: Mutant, session: pytest.Session) -> _Child:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            try:
                self._be(mutant, session, write)
            finally:
                os._exit(0)
        os.close(write)
        return _Child(mutant, pid, read)

    def _be(self, mutant: Mutant, session: pytest.Session, write: int) -> None:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        session.config.option.tbstyle = "native"  # nobody reads the traceback, and others take longer
        items = self._in_order(session.items, mutant)
        break_script(mutant)
        self._said_to = write
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        for item in items:
            os.write(write, f"{item.nodeid}\n".encode())
            signal.setitimer(signal.ITIMER_PROF, _limit_s(self._took_s[item.nodeid]))  # SIGPROF ends the process
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        os.write(write, b"NOT FOUND\n")

    def _in_order(self, items: Sequence[Any], mutant: Mutant) -> list[Any]:
        """Those that run the line: which found others of the file, are about its verb, the rest, the slow; by time."""
        file, finders = mutant.file, self._finders[mutant.file]
        tests = tests_of_line(mutant.path, mutant.number, self._lines)

        def is_tried(item: Any) -> bool:
            is_near = file not in script_source.SCRIPTS or file in item.nodeid or self._took_s[item.nodeid] <= QUICK_S
            return is_near and item.nodeid in tests

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
        return mutant.text if path == mutant.path else read(path)

    script_source._read = read_or_mutant
    names = [name for name, texts in _PARTS.items() if mutant.file in texts]
    script_source.SCRIPTS.update({name: script_source._script(name) for name in names})


def run(mutants: Sequence[Mutant], told: Told, limit_s: float, processes: int, tests: Sequence[str] = ("",)) -> bool:
    """Run the contract tests on each mutant, in so many processes; whether all were reached in `limit_s`.

    `tests`: paths in tests/contract. Raises SystemExit when a test fails on the scripts as they are.
    """
    contract = Path(__file__).parents[1] / "contract"
    runner = Runner(mutants, told, limit_s, processes)
    words = [word for name in ("randomly", "cacheprovider", "xdist", "terminal") for word in ("-p", f"no:{name}")]
    words += ["-o", "addopts=--strict-markers"]
    pytest.main([*words, "-m", "not slow and not service", *(str(contract / name) for name in tests)], plugins=[runner])
    if runner.fault:
        raise SystemExit(runner.fault)
    return runner.is_whole
