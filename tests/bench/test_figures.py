"""Benches of flows run in a small form and print their figures; each says how to call it."""

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.bench import instructions
from tests.bench.figures import Figures


def test_a_figure_meets_its_bar_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar of a time is wider on a slower machine, one of a speed is lower, and that of a ratio stays."""
    figures = Figures(2.0)
    figures.ratio("a ratio", 3.0, 2.0, 1.6)
    figures.value("a time", 5.0, 3.0, "ms")
    figures.speed("a speed", 50.0, 100.0, "a second")
    assert figures.close() == 0
    figures.ratio("another ratio", 3.3, 2.0, 1.6)
    assert figures.close() == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("; ")[1] for line in lines if ";" in line] == [
        "met, at most 1.6",
        "met, at most 6",
        "met, at least 50",
        "MISSED, at most 1.6",
    ]


def measured(name: str, options: str) -> Any:
    """What a bench prints as JSON."""
    argv = [sys.executable, "-m", f"tests.bench.{name}", "--json", *options.split()]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode in {0, 1}, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["flows", "turns", "batches", "schedules", "fairness", "instructions"])
def test_each_says_how_it_is_called(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--help` describes the bench, its options and, where it has a short form, an example."""
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"tests.bench.{name}").main()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"python -m tests.bench.{name}" in text
    assert name == "batches" or "example: python -m" in text


def test_instructions_need_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the bench says what to install."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SystemExit, match="apt-get install valgrind"):
        instructions.main([])


def test_small_forms() -> None:
    """A few schedules and tenants: each figure has a value. Bars depend on other work of the machine."""
    found = [
        measured("schedules", "--schedules 20 --idle 20 --each-second 2 --seconds 2 --rounds 1"),
        measured("fairness", "--jobs 100 --rounds 1 --groups 20 --backlog 1000"),
    ]
    names = [figure["name"] for one in found for figure in one["figures"]]
    assert [len(one["figures"]) for one in found] == [5, 17]
    assert len(set(names)) == len(names)
    assert all(figure["value"] > 0 for one in found for figure in one["figures"] if "late" not in figure["name"])
    [quiet] = [figure for figure in found[1]["figures"] if "quiet" in figure["name"]]
    assert quiet["is_met"]
