"""What a worker logs at its start."""

import logging
from pathlib import Path

import pytest

from worker.daemon.start_report import missing_programs, report_start
from worker.settings import WorkerSettings
from worker.table.table import read_table


def test_start_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The lines have the name, the broker without its password, the groups, the images and the slots."""
    url, runs = "http://u:swordfish@titan:8080", ("hello=cat", "up=tr a-z A-Z")
    settings = WorkerSettings(broker_url=(url,), run=runs, group=("a", "b"), concurrency=3)
    with caplog.at_level(logging.INFO):
        report_start(settings, "w1", read_table(settings))
    first, second = caplog.messages
    assert first.startswith("worker w1 of Titan ")
    assert first.endswith("broker http://titan:8080")
    assert second == "groups: a, b; images: hello, up; 3 slots"


def test_many_names_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A line has ten names, and how many others there are."""
    settings = WorkerSettings(run=tuple(f"i{number}=cat" for number in range(15)))
    with caplog.at_level(logging.INFO):
        report_start(settings, "w1", read_table(settings))
    assert caplog.messages[1].startswith("groups: all; images: i0, ")
    assert "i9 and 5 more;" in caplog.messages[1]


def test_missing_programs_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A program that is not on PATH, and a file that does not exist or is not executable, are named."""
    plain = tmp_path / "plain"
    plain.write_text("")
    runs = ("ok=cat", "a=no-such-program-x", f"b={plain}", f"c={tmp_path}/none", "d=/bin/sh -c x")
    settings = WorkerSettings(run=runs)
    assert list(missing_programs(read_table(settings))) == [
        ("a", "no-such-program-x"),
        ("b", str(plain)),
        ("c", f"{tmp_path}/none"),
    ]
    report_start(settings, "w1", read_table(settings))
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 3
