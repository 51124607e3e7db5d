"""Names: one word for each verb, no synonyms, no empty words."""

import ast
import re
from pathlib import Path

import pytest

from broker.core.states import MOVES
from broker.store.batches import Batches
from broker.store.completer import Completer
from broker.store.dispatcher import Dispatcher
from broker.store.enqueuer import Enqueuer
from broker.store.groups import Groups
from broker.store.jobs import Jobs
from broker.store.maintenance import Maintenance
from broker.store.schedule_fires import ScheduleFires
from broker.store.transfer import Transfer

TOP = Path(__file__).parents[2]
FILES = sorted(path for folder in ("broker", "worker") for path in (TOP / folder).rglob("*.py"))
SYNONYMS = {"claim", "claims", "claimed", "reserve", "reserved", "fetch", "fetched", "ack", "acked"}
EMPTY = {"manager", "helper", "helpers", "util", "utils", "base", "data", "info", "process"}
"""Words that are allowed inside a name, as in data_dir, but not at its end."""


def words(name):
    """The words of a name: make and app for make_app and MakeApp."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def defined(path):
    """The names of the functions, methods and classes in a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_names_are_of_the_house(path):
    """No name of a function or class has a synonym of a verb, or ends in an empty word."""
    for name in defined(path):
        assert not SYNONYMS & set(words(name)), name
        assert not EMPTY & set(words(name)[-1:]), name


@pytest.mark.parametrize("path", sorted((TOP / "lua").rglob("*.lua")), ids=lambda path: path.stem)
def test_names_in_lua_are_of_the_house(path):
    """No name of a script or of its functions has a synonym of a verb."""
    text = path.read_text("utf-8")
    for name in {path.stem, *re.findall(r"local function (\w+)", text)}:
        assert not SYNONYMS & set(words(name)), name


def test_every_verb_is_found_by_its_name():
    """Each verb of the state machine is a method in the store, and its script is a file."""
    parts = (Enqueuer, Dispatcher, Completer, Jobs, Groups, Batches, Maintenance, ScheduleFires, Transfer)
    for move in MOVES:
        assert [part for part in parts if callable(getattr(part, move.verb, None))], move.verb
        assert (TOP / "lua" / "verbs" / f"{move.script}.lua").exists(), move.script


def test_class_names_are_unique():
    """A class name occurs once in the packages, unless one class is the model of the other."""
    found = {}
    for path in sorted(path for folder in ("broker", "worker") for path in (TOP / folder).rglob("*.py")):
        is_public = "library" in path.parts  # its users see none of the others
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not is_public:
                found.setdefault(node.name, []).append(path.relative_to(TOP).as_posix())
    several = {name: files for name, files in found.items() if len(files) > 1}
    assert {name for name, files in several.items() if not any("/models/" in file for file in files)} == set()
