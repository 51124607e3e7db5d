"""`titan lua`."""

import hashlib
import re

from broker.resp.script_source import SCRIPTS
from tests.cli.live import Titan


def test_lua_table(titan: Titan) -> None:
    """The table has every script with its SHA1 in the store, its keys and its summary."""
    shown = titan("lua")
    assert shown.code == 0
    rows = {line.split()[0]: line for line in shown.out.splitlines()[1:]}
    assert set(rows) == set(SCRIPTS)
    for name, row in rows.items():
        assert hashlib.sha1(titan("lua", name).out.encode(), usedforsecurity=False).hexdigest() in row
        assert SCRIPTS[name].summary.split()[0] in row


def test_lua_json(titan: Titan) -> None:
    """With --json, the same for programs; of one script with its text."""
    scripts = titan("lua", "--json").json["scripts"]
    assert {script["verb"]: script["sha"] for script in scripts} == {name: s.sha for name, s in SCRIPTS.items()}
    assert "text" not in scripts[0]
    assert titan("lua", "touch", "--json").json["text"] == SCRIPTS["touch"].text


def test_lua_text_is_whole(titan: Titan) -> None:
    """The text begins with the flags, as the store requires, and contains the prelude."""
    text = titan("lua", "touch").out
    assert text.startswith("#!lua flags=allow-oom\n")
    assert re.search(r"^local function clock\b", text, re.MULTILINE)


def test_lua_unknown(titan: Titan) -> None:
    """A verb without a script is wrong usage; the error lists the scripts."""
    shown = titan("lua", "claim")
    assert shown.code == 2
    assert "touch" in shown.err
