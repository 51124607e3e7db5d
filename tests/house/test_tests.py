"""The tests themselves: each says in a sentence what holds, and checks it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("test_*.py"))
CHECKS = {"assert", "raises", "warns", "fail", "validate", "run_state_machine_as_test"}
"""Calls that raise when something is not as it should be; those of the tests' own are found."""


@cache
def functions(path):
    """The functions of a file, those inside of others too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)]


def cases(path):
    """The test functions of a file."""
    return [node for node in functions(path) if node.name.startswith("test_")]


@cache
def calls(function):
    """The names of what a function calls; an assertion counts as a call of `assert`."""
    nodes = list(ast.walk(function))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in called}
    return names | {"assert" for node in nodes if isinstance(node, ast.Assert)}


def checkers():
    """What checks something: the calls that are known to, and the tests' own functions that call one of those."""
    own = [function for path in sorted(TESTS.rglob("*.py")) for function in functions(path)]
    known, before = set(CHECKS), set()
    while known != before:
        before = set(known)
        known |= {function.name for function in own if calls(function) & known}
    return known


CHECKERS = checkers()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_tests_say_what_holds(path):
    """A test's docstring is a sentence, that begins with a capital or the name of a thing and ends with a full stop."""
    for test in cases(path):
        sentence = ast.get_docstring(test) or ""
        assert re.fullmatch(r"([A-Z`'\"0-9/-]|\w+[.:_-]).*[.?]", sentence, re.DOTALL), f"{test.name}: {sentence!r}"
        assert re.fullmatch(r"test_[a-z0-9_]+", test.name), test.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_tests_check_something(path):
    """A test asserts, expects a refusal, or calls what does."""
    for test in cases(path):
        assert calls(test) & CHECKERS, test.name


def test_no_name_is_given_twice_in_a_file():
    """A second test of the same name would hide the first."""
    for path in FILES:
        names = [test.name for test in cases(path)]
        assert len(names) == len(set(names)), path


@pytest.mark.parametrize("page", sorted(TESTS.rglob("README.md")), ids=lambda page: page.relative_to(TESTS).as_posix())
def test_tests_that_pages_name_are_there(page):
    """A page on what is tested names tests by file and name, and all of them exist."""
    named = re.findall(r"`([\w./]+\.py)::(\w+)`", page.read_text("utf-8"))
    assert named
    for file, name in named:
        assert name in {test.name for test in cases((page.parent / file).resolve())}, f"{file}::{name}"
