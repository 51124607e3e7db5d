"""Names: one verb per act, no synonyms, and no names that say nothing."""

import ast
import re
from pathlib import Path

import pytest

from broker.core.states import MOVES
from broker.store.completer import Completer
from broker.store.dispatcher import Dispatcher
from broker.store.enqueuer import Enqueuer
from broker.store.groups import Groups
from broker.store.jobs import Jobs
from broker.store.maintenance import Maintenance

TOP = Path(__file__).parents[2]
FILES = sorted(path for folder in ("broker", "worker") for path in (TOP / folder).rglob("*.py"))
SYNONYMS = {"claim", "claims", "claimed", "reserve", "reserved", "fetch", "fetched", "ack", "acked"}
EMPTY = {"manager", "helper", "helpers", "util", "utils", "base", "data", "info", "process"}
"""Words that may stand in a longer name, as in data_dir, but may not be its last."""


def words(name):
    """The words make and app, of make_app and of MakeApp."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def defined(path):
    """Names of the functions, methods and classes of a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_names_are_of_the_house(path):
    """No function or class is named by a synonym of a verb, nor ends in a word that says nothing."""
    for name in defined(path):
        assert not SYNONYMS & set(words(name)), name
        assert not EMPTY & set(words(name)[-1:]), name


@pytest.mark.parametrize("path", sorted((TOP / "lua").rglob("*.lua")), ids=lambda path: path.stem)
def test_names_in_lua_are_of_the_house(path):
    """The same for scripts and their functions."""
    text = path.read_text("utf-8")
    for name in {path.stem, *re.findall(r"local function (\w+)", text)}:
        assert not SYNONYMS & set(words(name)), name


def test_every_verb_is_found_by_its_name():
    """A verb of the state machine is a method of a part of the store, and its script a file."""
    parts = (Enqueuer, Dispatcher, Completer, Jobs, Groups, Maintenance)
    for move in MOVES:
        assert [part for part in parts if callable(getattr(part, move.verb, None))], move.verb
        assert (TOP / "lua" / "verbs" / f"{move.script}.lua").exists(), move.script
