"""The private parts of aiodocker that the worker uses: each still exists, and behaves as the worker needs."""

import ast
import asyncio
import gc
import inspect
import struct
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiodocker import Docker, containers, stream
from aiodocker.stream import Stream

from worker.runners import aiodocker_private
from worker.runners.aiodocker_private import close_stdin, mark_closed

WORKER = Path(__file__).parents[2] / "worker"
FILES = sorted(WORKER.rglob("*.py"))


def private_names(source: str) -> set[str]:
    """The private names that are attributes in a piece of source."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if node.attr.startswith("_") and not node.attr.startswith("__")}


def private_uses(source: str) -> set[str]:
    """The same without those of `self`, and without `os._exit`, which is public."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    owners = {(ast.unparse(node.value), node.attr) for node in nodes if node.attr.startswith("_")}
    return {f"{owner}.{name}" for owner, name in owners if owner != "self" and (owner, name) != ("os", "_exit")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(WORKER).as_posix())
def test_no_other_module_uses_a_private_part(path: Path) -> None:
    """Of a library or of another class."""
    if path.stem == "aiodocker_private":
        return
    source = path.read_text("utf-8")
    assert "SLF001" not in source
    assert {use for use in private_uses(source) if not use.endswith("__")} == set()


def test_each_part_exists() -> None:
    """In the source of aiodocker. A new part is a decision, and needs a test below."""
    used = private_names(inspect.getsource(aiodocker_private))
    assert used == {"_closed", "_resp", "_query"}
    assert used <= private_names(inspect.getsource(stream)) | private_names(inspect.getsource(containers))


def warnings_of(opened: Stream) -> list[str]:
    """The warnings when a stream is deleted."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened.__del__()
    return [str(warning.message) for warning in caught]


def test_a_closed_stream_does_not_warn() -> None:
    """Aiodocker warns of a stream that was never opened, and not after it is marked as closed."""
    unopened = Stream(Mock(), Mock())
    assert warnings_of(unopened) == ["Unclosed ExecStream"]
    mark_closed(unopened)
    assert warnings_of(unopened) == []
    close_stdin(unopened)
    del unopened
    gc.collect()


@pytest.fixture
async def engine() -> AsyncIterator[Docker]:
    """An engine that reads the input of a container to its end, and then prints it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET "):  # aiodocker first asks whether the container has a terminal
            content = b'{"Id": "c", "Config": {"Tty": false}}'
            fields = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\nConnection: close"
            writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + content)
            writer.close()
            return
        writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        content = await reader.read()
        writer.write(struct.pack(">BxxxL", 1, len(content)) + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    docker = Docker(f"http://{host}:{port}", api_version="v1.41")
    yield docker
    await docker.close()
    server.close()
    await server.wait_closed()


async def test_output_continues_after_the_input_is_closed(engine: Docker) -> None:
    """The engine sees the end of the input, and its answer arrives after that."""
    async with asyncio.timeout(10), engine.containers.container("c").attach(stdin=True, stdout=True) as attached:
        await attached.write_in(b"hello")
        close_stdin(attached)
        message = await attached.read_out()
        assert message is not None
        assert message.data == b"hello"
