"""The tests themselves: each has a docstring with one rule, and checks something."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("test_*.py"))
CHECKS = {"assert", "raises", "warns", "fail", "validate", "run_state_machine_as_test"}
"""Calls that raise when a check fails. Functions of the tests that call one of them are found automatically."""


@cache
def functions(path):
    """The functions of a file, including nested ones."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)]


def cases(path):
    """The test functions of a file."""
    return [node for node in functions(path) if node.name.startswith("test_")]


@cache
def calls(function):
    """The names that a function calls; an assertion counts as a call of `assert`."""
    nodes = list(ast.walk(function))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in called}
    return names | {"assert" for node in nodes if isinstance(node, ast.Assert)}


def checkers():
    """The names in CHECKS, and all functions of the tests that call one of them, directly or indirectly."""
    own = [function for path in sorted(TESTS.rglob("*.py")) for function in functions(path)]
    known, before = set(CHECKS), set()
    while known != before:
        before = set(known)
        known |= {function.name for function in own if calls(function) & known}
    return known


CHECKERS = checkers()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_tests_say_what_holds(path):
    """A test's docstring is a sentence: it begins with a capital letter or a name, and ends with a full stop."""
    for test in cases(path):
        sentence = ast.get_docstring(test) or ""
        assert re.fullmatch(r"([A-Z`'\"0-9/-]|\w+[.:_-]).*[.?]", sentence, re.DOTALL), f"{test.name}: {sentence!r}"
        assert re.fullmatch(r"test_[a-z0-9_]+", test.name), test.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_tests_check_something(path):
    """A test asserts, expects an exception, or calls a function that does."""
    for test in cases(path):
        assert calls(test) & CHECKERS, test.name


def test_names_of_tests_are_unique_in_a_file():
    """No file has two tests with the same name, because the second would hide the first."""
    for path in FILES:
        names = [test.name for test in cases(path)]
        assert len(names) == len(set(names)), path


@pytest.mark.parametrize("page", sorted(TESTS.rglob("README.md")), ids=lambda page: page.relative_to(TESTS).as_posix())
def test_tests_in_pages_exist(page):
    """Every test that a page names by file and name exists."""
    named = re.findall(r"`([\w./]+\.py)::(\w+)`", page.read_text("utf-8"))
    assert named
    for file, name in named:
        assert name in {test.name for test in cases((page.parent / file).resolve())}, f"{file}::{name}"
