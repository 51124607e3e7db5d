"""The rules of the pages' code in broker/http/ui/static: no markup from texts, small files, no code of others."""

import gzip
import re
from pathlib import Path

import pytest

from broker.http.ui.assets import stripped

STATIC = Path(__file__).parents[2] / "broker" / "http" / "ui" / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
MAX_LINES, MAX_FUNCTION_LINES = 300, 40
MAX_BYTES, MAX_GZIP_BYTES = 259_900, 76_200
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\b|new Function"
    r"|setAttribute\(['\"]style|\bstyle:|javascript:|setTimeout\(['\"]|\.cssText"
)
IMPORT = re.compile(r"(?:from|import) '([^']+)'")
FUNCTION = re.compile(r"^( *)(?:export )?(?:async )?(?:function )?[\w$]+\([^)]*\) \{$")
NO_FUNCTION = re.compile(r"^ *(?:if|for|while|switch|catch|else|return|\}|const|let)\b")


def functions(source):
    """The first line and the number of lines of each function and method."""
    lines = source.split("\n")
    for at, line in enumerate(lines):
        if (found := FUNCTION.match(line)) and not NO_FUNCTION.match(line) and len(found[1]) < 4:
            end = next((n for n, later in enumerate(lines[at:]) if later == found[1] + "}"), 0)
            yield line.strip(), end + 1


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_makes_no_markup_and_runs_no_text(path):
    """A text of a job can never become an element, a style or code."""
    assert FORBIDDEN.findall(path.read_text()) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_imports_only_files_that_are_there(path):
    """Nothing of others is loaded, and each import is a file of this folder."""
    for name in IMPORT.findall(path.read_text()):
        assert name.startswith("."), name
        assert (path.parent / name).resolve() in SCRIPTS, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_short(path):
    """Files have at most 300 lines, functions at most 40."""
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES
    assert [(name, size) for name, size in functions(text) if size > MAX_FUNCTION_LINES] == []


def test_functions_are_found():
    """The measure of functions sees functions and methods, and no branches."""
    source = "export function a(b) {\n  if (b) {\n  }\n}\nclass C {\n  async d() {\n  }\n}\n"
    assert list(functions(source)) == [("export function a(b) {", 4), ("async d() {", 2)]


def test_template_has_no_code_in_it():
    """The page itself has no inline code and no style: the Content-Security-Policy forbids both."""
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []
    assert set(re.findall(r"\{\{\w+\}\}", page)) == {"{{base}}", "{{static}}", "{{version}}"}


def test_styles_load_nothing():
    """The styles name no other address."""
    assert [path.name for path in STATIC.glob("*.css") if re.search(r"url\(|@import", path.read_text())] == []


def test_application_is_small():
    """All files together, as they are served and compressed as one, do not grow beyond what they have now."""
    whole = b"".join(stripped(path.name, path.read_text()).encode() for path in FILES)
    assert len(whole) <= MAX_BYTES
    assert len(gzip.compress(whole, 9)) <= MAX_GZIP_BYTES
