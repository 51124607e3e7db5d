"""The private parts of aiohttp that the front end uses: each still exists, and behaves as the front end needs."""

import ast
import asyncio
import importlib
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import base_protocol, web, web_protocol, web_request, web_runner, web_server

from broker.http.server import aiohttp_private
from broker.http.server.aiohttp_private import Connection, ConnectionRunner, ListeningSite, target_authority

TOP = Path(__file__).parents[2]
SOURCES = (base_protocol, web_protocol, web_server, web_runner, web_request)
CHANGED_WITH_CARE = {"_handle_request", "_make_server", "_process_keepalive"}
"""Methods of aiohttp that a subclass overrides."""


def private(name: str) -> bool:
    """Whether a name is private."""
    return name.startswith("_") and not name.startswith("__")


def names_in(tree: ast.AST, contexts: type[ast.expr_context] = ast.expr_context) -> set[str]:
    """The private names that are attributes or methods in a piece of source; ast.Store: that it sets or defines."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    attributes = {node.attr for node in nodes if isinstance(node.ctx, contexts)}
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    methods = {
        item.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body
        if isinstance(item, functions)
    }  # fmt: skip
    return {name for name in attributes | methods if private(name)}


OF_AIOHTTP = set().union(*(names_in(ast.parse(inspect.getsource(module)), ast.Store) for module in SOURCES))
USED = names_in(ast.parse(inspect.getsource(aiohttp_private))) & OF_AIOHTTP


def modules() -> Iterator[ModuleType]:
    """The modules of the rooms that use aiohttp's server."""
    for path in sorted(path for room in ("http", "service") for path in (TOP / "broker" / room).rglob("*.py")):
        yield importlib.import_module(".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"))


def bases(kind: type) -> list[type]:
    """The classes of aiohttp that a class is derived from."""
    return [base for base in kind.__mro__ if base.__module__.startswith("aiohttp.")]


@pytest.mark.parametrize("module", list(modules()), ids=lambda module: module.__name__)
def test_no_other_module_uses_a_private_part(module: ModuleType) -> None:
    """Neither on an object of aiohttp, nor in a class that is derived from one of its classes."""
    if module is aiohttp_private:
        return
    source = inspect.getsource(module)
    assert "SLF001" not in source, "a private part of another class is used"
    tree = ast.parse(source)
    for node in ast.walk(tree):
        kind = getattr(module, node.name, None) if isinstance(node, ast.ClassDef) else None
        if isinstance(kind, type) and bases(kind):
            sources = [ast.parse(inspect.getsource(inspect.getmodule(base) or base)) for base in bases(kind)]
            assert names_in(node) & set().union(*map(names_in, sources)) == set(), kind


def test_each_part_exists() -> None:
    """In the source of aiohttp. A new part is a decision, and needs a test below."""
    assert {
        "_backlog", "_close", "_current_request", "_kwargs", "_keepalive_timeout", "_loop", "_message", "_messages",
        "_next_keepalive_close_time", "_pause_transport_reading", "_resume_transport_reading", "_runner", "_server",
        *CHANGED_WITH_CARE,
    } == USED  # fmt: skip


class Recorded(Connection):
    """A connection that can have pending responses."""

    is_pending = False

    def has_pending_responses(self) -> bool:
        """As the test sets it."""
        return self.is_pending


class Runner(ConnectionRunner):
    """A runner that keeps its connections."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        super().__init__(app, **options)
        self.made: list[Recorded] = []

    def make_connection(self, server: web.Server, **options: Any) -> Recorded:
        """Make a connection, and keep it."""
        self.made.append(Recorded(server, **options))
        return self.made[-1]


class Client:
    """A runner with one connection, both ends of it, and the request that it is in."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.request: web.BaseRequest | None = None
        self.reader, self.writer = asyncio.StreamReader(), Mock()

    async def open(self) -> Recorded:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection(*self.runner.addresses[0][:2])
        async with asyncio.timeout(5):
            while not self.runner.made or self.runner.made[-1].transport is None:
                await asyncio.sleep(0.001)
        return self.runner.made[-1]

    async def ask(self, line: str = "GET / HTTP/1.1") -> bytes:
        """Send a request; the response's first line."""
        self.writer.write(f"{line}\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
        line = (await self.reader.readuntil(b"\r\n")).decode()
        await self.reader.readuntil(b"\r\n\r\n")
        return line.encode()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of a server that answers when it may."""

    async def handle(request: web.Request) -> web.Response:
        client.request = request
        await client.may_answer.wait()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = Runner(app, keepalive_timeout=0.2, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = Client(runner)
    yield client
    client.may_answer.set()
    if not isinstance(client.writer, Mock):
        client.writer.close()
    await runner.cleanup()


async def test_connections_are_of_the_given_class(client: Client) -> None:
    """The runner's options reach them, and their loop is the running one."""
    connection = await client.open()
    assert isinstance(connection, Recorded)
    assert connection.keepalive_timeout == 0.2
    assert connection.loop is asyncio.get_running_loop()
    assert await client.ask() == b"HTTP/1.1 204 No Content\r\n"


async def test_unused_until_the_first_request(client: Client) -> None:
    """Neither during a request nor after it is a connection unused."""
    connection = await client.open()
    connection.mark_unused()
    assert connection.is_unused
    connection.is_pending = True
    assert not connection.is_unused
    connection.is_pending = False
    client.may_answer.clear()
    asking = asyncio.create_task(client.ask())
    while client.request is None:
        await asyncio.sleep(0.001)
    assert not connection.is_unused
    client.may_answer.set()
    await asking
    assert not connection.is_unused


async def test_an_idle_connection_closes(client: Client) -> None:
    """After the keepalive timeout; one with pending responses stays open, and so does one whose timeout restarts."""
    connection = await client.open()
    await client.ask()
    connection.is_pending = True
    await asyncio.sleep(0.5)
    assert connection.transport is not None
    connection.is_pending = False
    connection.restart_keepalive()
    await asyncio.sleep(0.05)
    assert connection.transport is not None
    assert await asyncio.wait_for(client.reader.read(), 5) == b""


async def test_the_transport_pauses(client: Client) -> None:
    """While it is paused, nothing is read from the socket."""
    connection = await client.open()
    connection.pause_transport()
    asking = asyncio.create_task(client.ask())
    await asyncio.sleep(0.05)
    assert client.request is None
    connection.resume_transport()
    assert await asking == b"HTTP/1.1 204 No Content\r\n"


async def test_a_stopping_server_closes_its_connections(client: Client) -> None:
    """They are closing from then on."""
    connection = await client.open()
    await client.ask()
    assert not connection.is_closing
    connection.close()
    assert connection.is_closing


async def test_http_0_9_is_refused(client: Client) -> None:
    """A line without a version is not a request."""
    await client.open()
    client.writer.write(b"GET /\r\n\r\n")
    assert b" 400 " in await asyncio.wait_for(client.reader.read(), 5)
    assert client.request is None


@pytest.mark.parametrize(("target", "authority"), [("/x", None), ("http://b:8/x", "b:8"), ("http://b/x", "b:80")])
async def test_authority_of_the_request_line(client: Client, target: str, authority: str | None) -> None:
    """It is that of the request line, and not Host."""
    await client.open()
    await client.ask(f"GET {target} HTTP/1.1")
    assert client.request is not None
    assert target_authority(client.request) == authority


async def test_a_site_with_its_own_sockets(client: Client) -> None:
    """It listens once it starts, and no longer once it stops."""
    listener = Mock()
    servers = []

    class Site(ListeningSite):
        @property
        def name(self) -> str:
            return "test"

        async def listen(self, server: web.Server) -> Mock:
            servers.append((server, self.backlog))
            return listener

    site = Site(client.runner, backlog=7)
    await site.start()
    assert servers == [(client.runner.server, 7)]
    listener.close.assert_not_called()
    await site.stop()
    listener.close.assert_called_once_with()
