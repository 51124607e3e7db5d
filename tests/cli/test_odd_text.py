"""Arguments that are not UTF-8: paths may be any bytes, all else is refused in one line."""

import os
from pathlib import Path

import pytest

from tests.cli.live import Titan

ODD = os.fsdecode(b"a\xff")


@pytest.mark.parametrize(
    "words",
    [
        ("job", "enqueue", "GROUP", "--image", "i", "--payload", ODD),
        ("job", "enqueue", "GROUP", "--image", ODD),
        ("job", "enqueue", ODD, "--image", "i"),
        ("job", "show", "GROUP", ODD),
        ("job", "list", ODD),
        ("job", "log", "GROUP", ODD),
        ("job", "wait", "GROUP", ODD),
        ("group", "show", ODD),
        ("group", "set", "GROUP", "--image", ODD),
        ("worker", "status", ODD),
        ("worker", "--run", f"{ODD}=cat"),
        ("worker", "--run", "a=cat", "--group", ODD),
        ("worker", "--run", "a=cat", "--name", ODD),
        ("worker", "--run", "a=cat", "--broker-url", f"http://{ODD}"),
        ("job", "list", "GROUP", "--broker-url", f"http://{ODD}"),
        ("broker", "--redis-url", f"redis://{ODD}"),
        ("token", "new", "--scope", "read", "--name", ODD),
        ("bench", "--broker-url", f"http://{ODD}"),
    ],
    ids=lambda words: " ".join(words).encode("ascii", "replace").decode(),
)
def test_refuse_what_is_no_text(titan: Titan, group: str, words: tuple[str, ...]) -> None:
    """It is wrong usage, which names the argument; nothing is sent."""
    ran = titan(*(group if word == "GROUP" else word for word in words))
    assert ran.code == 2
    assert "is not UTF-8 text" in ran.err
    assert titan("group", "show", group).code == 1


def test_take_a_file_whose_name_is_no_text(titan: Titan, group: str, tmp_path: Path) -> None:
    """Names of files are bytes: a payload is read from any."""
    path = tmp_path / ODD
    path.write_text("here")
    assert titan("job", "enqueue", group, "--image", "i", "--payload-file", str(path)).code == 0
    token = titan("job", "list", group, "--token-file", str(tmp_path / f"{ODD}-missing"))
    assert (token.code, "No such file" in token.err) == (2, True)
