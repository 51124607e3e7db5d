"""Pages and texts in code: plain words, links and paths that exist, facts that agree with the code."""

import re
from pathlib import Path

import pytest

from broker.core.states import MOVES
from tests.house.text import TOP, Riddle, checked, find, riddles, text_of

PAGES = sorted(path for path in TOP.rglob("*.md") if not {".venv", "node_modules"} & set(path.parts))
PATH = re.compile(r"`((?:broker|worker|lua|tests|deploy)/[\w./@-]*[\w-]/?)`")
LINK = re.compile(r"\]\(([^)\s#:]*)(?:#([^)\s]+))?\)")


def name_of(path):
    """The path from the top of the repository."""
    return path.relative_to(TOP).as_posix()


def anchors(page):
    """The anchors of a page's headings, by GitHub's rules."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", checked(), ids=name_of)
def test_texts_have_no_riddles(path):
    """Checked files contain no riddle."""
    assert [f"{name_of(path)}:{found.line}: {found.words!r}: say {found.say}" for found in find(path)] == []


def test_riddles_are_found(tmp_path: Path):
    """The search covers pages, docstrings, comments and messages, also across line breaks, but not code or names."""
    page, module, script = tmp_path / "a.md", tmp_path / "a.py", tmp_path / "a.lua"
    page.write_text("Jobs are handed\nout.\n`told`\n```sh\ntold\n```\n")
    module.write_text('"""It was told."""\ntold = 1\nprint("told")  # in one turn of the loop\n')
    script.write_text("local told = 1 -- what came to it\n")
    assert [(found.line, found.words) for found in find(page)] == [(1, "handed out")]
    assert sorted(found.words for found in find(module)) == ["one turn of the loop", "told", "told"]
    assert [found.words for found in find(script)] == ["what came to"]


def test_riddles_are_each_a_pattern():
    """Every riddle is a pattern that does not match empty text, with a replacement."""
    assert len(riddles()) >= 20
    for riddle in riddles():
        assert isinstance(riddle, Riddle)
        assert riddle.say
        assert riddle.words.search("") is None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    """A link to a file of the repository leads to a file that exists, and its anchor to a heading in it."""
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_paths_in_pages_exist(page):
    """A path in a page, from the top of the repository, exists."""
    for name in PATH.findall(page.read_text("utf-8")):
        assert (TOP / name).exists(), name


def test_moves_in_the_page_are_those_of_the_code():
    """The table of moves in lua/README.md agrees with the state machine."""
    page = (TOP / "lua/README.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| (\w+)\.lua \| ([\w-]+) \| ([\w-]+) \| (.*?) ?\|$", page, re.MULTILINE)
    assert rows == [(m.verb, m.script, m.before or "-", m.after or "-", m.when) for m in MOVES]


def test_rooms_in_the_page_are_the_folders():
    """The table in broker/README.md has a row for each room, in the order of imports."""
    page = (TOP / "broker/README.md").read_text("utf-8")
    [line] = re.findall(r"^library <.*$", page, re.MULTILINE)
    rooms = re.findall(r"\w+", line)
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == rooms
    assert {path.name for path in (TOP / "broker").iterdir() if path.is_dir() and path.name[0] != "_"} == set(rooms) - {
        "worker",
        "library",
    }


def test_text_keeps_its_lines():
    """Extracted text keeps its line numbers, so that a riddle can be found."""
    assert text_of(TOP / "README.md").count("\n") == (TOP / "README.md").read_text("utf-8").count("\n")
