"""What commands print: tables, pages, JSON, and text that is safe on a terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.output import JsonList, page, show_json
from broker.cli.safe_text import TerminalText, line
from broker.cli.table import TextTable

HOSTILE = "a\x1b[2J\x07b\x9b31m\u202ec\r\nd\x7f"


def test_line_hostile() -> None:
    """One line stays one line, without control characters."""
    assert line(HOSTILE) == "a [2J b 31m c d"


def test_page_hostile() -> None:
    """Names and values are aligned, lines of a value are indented, and control characters are removed."""
    assert page([("a", "x\ny"), ("long", HOSTILE), ("empty", "")]) == "a     x\n      y\nlong  a[2Jb31mc\n      d"


def test_table_hostile(capsys: pytest.CaptureFixture[str]) -> None:
    """A cell cannot break its row."""
    table = TextTable(("id", "reason"), lambda row: row)
    table.show([("1", "x\ny")])
    table.show([("222222", HOSTILE)])
    assert capsys.readouterr().out.splitlines() == ["ID  REASON", "1   x y", "222222  a [2J b 31m c d"]


def test_json_hostile(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has every character, and none that a terminal would obey."""
    show_json({"reason": HOSTILE})
    out = capsys.readouterr().out
    assert json.loads(out) == {"reason": HOSTILE}
    assert all(character.isprintable() or character == "\n" for character in out)


@pytest.mark.parametrize("items", [[], [1], [1, HOSTILE]])
@pytest.mark.parametrize("cursor", ["", "next"])
def test_json_list(capsys: pytest.CaptureFixture[str], items: list[object], cursor: str) -> None:
    """A list that is printed piece by piece is one JSON object."""
    shown = JsonList("jobs")
    for item in items:
        shown.show([item])
    shown.show([], cursor)
    shown.end()
    assert json.loads(capsys.readouterr().out) == {"jobs": items} | ({"cursor": cursor} if cursor else {})


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain \xc3\xa4\n\ttab\n", "plain ä\n\ttab\n"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07x\x1b]8;;http://a\x1b\\link", "xlink"),
        (b"10%\r20%\r\ndone", "10%\n20%\ndone"),
        (b"\x00\x07\x08bell\x7f", "bell"),
        (b"\xc2\x9b31mC1", "31mC1"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"end\x1b[", "end["),
        (b"\x1b]" + b"x" * 5000, "]" + "x" * 5000),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 10_000])
def test_terminal_text_pieces(raw: bytes, shown: str, size: int) -> None:
    """However a log is cut into pieces, a terminal gets the same safe text."""
    text = TerminalText()
    pieces = [text.feed(raw[at : at + size]) for at in range(0, len(raw), size)]
    assert "".join(pieces) + text.feed(b"", last=True) == shown


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"]", b"31m", b"\r", b"\n", b"\x9b", b"\xc2", b"x", b"\x07", b"\\"])))
def test_terminal_text_any_pieces(pieces: list[bytes]) -> None:
    """Nothing but text, tabs and newlines ever comes out."""
    text = TerminalText()
    shown = "".join(text.feed(piece) for piece in pieces) + text.feed(b"", last=True)
    assert all(character.isprintable() or character in "\t\n" for character in shown)
