"""Lines of the log: text and JSON, the same for every library, and nothing secret in them."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from broker.cli.log_setup import KEYS, log_to_stderr
from broker.core.events import EVENTS, OF_ACTS, REFUSED, event

TOP = Path(__file__).parents[2]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers are as they were before."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def begin(level: str, form: str = "text", process: int | None = None) -> None:
    """As a program that starts: without handlers of before."""
    logging.getLogger().handlers.clear()
    log_to_stderr(level, form, process)


def test_lines_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A line has time, level, logger and the sentence; of its keys the request, which the sentence does not say."""
    begin("info")
    extra = event("store.lost", server="a", request="r-1")
    logging.getLogger("broker.x").warning("the connection to %s is lost", "a", extra=extra)
    logging.getLogger("broker.x").debug("not shown")
    assert re.fullmatch(
        rf"{TIME} WARNING broker\.x: the connection to a is lost request=r-1\n", capsys.readouterr().err
    )


def test_lines_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The keys come in one order: ts, level, event, those of KEYS, then the rest. A process of several is named."""
    begin("info", "json", 3)
    extra = event("job.ended", **dict.fromkeys(reversed(KEYS), 1), more="x", none=None, empty="")
    logging.getLogger("broker.x").info("a sentence", extra=extra)
    pairs = json.loads(capsys.readouterr().err, object_pairs_hook=list)
    names = [name for name, _ in pairs]
    assert names == ["ts", "level", "event", *KEYS, "message", "more", "logger", "process"]
    found = dict(pairs)
    assert (found["level"], found["event"], found["message"], found["process"]) == (
        "info",
        "job.ended",
        "a sentence",
        3,
    )
    assert re.fullmatch(TIME, found["ts"])


def test_one_line_a_thing(capsys: pytest.CaptureFixture[str]) -> None:
    """A text from outside cannot begin a line of its own. Only a traceback has lines, and none in JSON."""
    begin("info")
    logging.getLogger("a").info("x\n2026 ERROR forged\r\x1b[31m%s", "\n")
    assert capsys.readouterr().err.count("\n") == 1
    begin("info", "json")
    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("a").exception("it broke")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert json.loads(line)["exception"].startswith("Traceback (most recent call last):\n")


def test_libraries_look_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """A function of a job that uses structlog has the same keys; its own keys are in both forms."""
    begin("info", "json")
    structlog.get_logger("app").warning("order.paid", n=3, job="j")
    found = json.loads(capsys.readouterr().err)
    assert (found["event"], found["level"], found["job"], found["n"]) == ("order.paid", "warning", "j", 3)
    begin("info")
    structlog.get_logger("app2").warning("order.paid", n=3)
    assert capsys.readouterr().err.endswith(" WARNING app2: order.paid n=3\n")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("redis://••••@h:1/0", "redis://user:hunter2@h:1/0"),
        ("rediss://••••@h", "rediss://:hunter2@h"),
        ("Bearer ••••", "Bearer hunter2"),
        ("bearer ••••, more", "bearer hunter2, more"),
        ("?token=••••&n=1", "?token=hunter2&n=1"),
        ("password=••••", "password=hunter2"),
    ],
)
def test_no_secrets(capsys: pytest.CaptureFixture[str], form: str, shown: str, text: str) -> None:
    """Passwords of addresses and tokens of headers are dots, in a sentence, in a key and in a traceback."""
    begin("info", form)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("a").exception("at %s", text, extra=event("store.lost", server=text, token="hunter2"))
    line = capsys.readouterr().err
    assert shown in line
    assert "hunter2" not in line


def test_access_log_is_json_at_every_level(capsys: pytest.CaptureFixture[str]) -> None:
    """Its lines are JSON among those of text too, and no level turns them off."""
    begin("error")
    logging.getLogger("broker.access").info("GET", extra=event("request.done", ms=1.5, status=200, request="r"))
    line = json.loads(capsys.readouterr().err)
    del line["ts"]
    assert line == {"level": "info", "event": "request.done", "request": "r", "ms": 1.5, "status": 200}


def test_names_of_events() -> None:
    """Every name of the code is in the list, every name of the list is used, and the documentation has them all."""
    files = [*TOP.glob("broker/**/*.py"), *TOP.glob("worker/**/*.py")]
    text = "".join(path.read_text() for path in files if path.name != "events.py")
    used = set(re.findall(r'\bevent\(\s*"([a-z.]+)"', text))
    used |= set(re.findall(r'"(request\.[a-z]+)"', text)) - {"request.query", "request.context"}
    assert used | {*OF_ACTS.values(), *REFUSED.values(), "audit"} == EVENTS
    page = (TOP / "broker/docs/observe.md").read_text()
    assert {name for name in EVENTS if f"`{name}`" not in page} == set()
