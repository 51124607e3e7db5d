"""What a client makes of answers that are late, broken or not there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from broker.core.errors import StoreUnavailable, TitanError
from titan.errors import BrokerUnavailable
from worker.client import Client

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stub:
    """A server that answers as the test says, and counts."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.answer: Answer = _empty
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer."""
        self.requests.append(request)
        return await self.answer(request)  # type: ignore[arg-type]


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A server on a free port."""
    stub = Stub()
    runner = web.ServerRunner(web.Server(stub), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stub
    await runner.cleanup()


@pytest.fixture
async def client(stub: Stub) -> AsyncIterator[Client]:
    """A client of it that does not wait for long."""
    async with Client(stub.url, token="secret", timeout_s=0.2) as client:
        yield client


async def _empty(_: web.Request) -> web.Response:
    return web.json_response({"jobs": []})


def _says(status: int, text: str, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


async def test_the_token_is_sent(stub: Stub, client: Client) -> None:
    """A client with a token sends it with each call."""
    await client.next()
    assert stub.requests[0].headers["Authorization"] == "Bearer secret"


async def test_what_is_not_given_is_not_sent(stub: Stub, client: Client) -> None:
    """The query has only what was asked for."""
    await client.next(3, ["a", "b"])
    assert stub.requests[0].path_qs == "/v1/jobs?n=3&wait=0&group=a&group=b"


async def test_a_lost_connection_is_not_tried_again(stub: Stub, client: Client) -> None:
    """A request on a connection that was used before is sent once: a second GET /jobs would take more jobs."""
    await client.next()

    async def drops(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    stub.answer = drops
    with pytest.raises(BrokerUnavailable):
        await client.next()
    assert len(stub.requests) == 2


async def test_a_late_answer(stub: Stub, client: Client) -> None:
    """A call ends after its time; a long poll has its wait on top."""

    async def sleeps(_: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.json_response({"jobs": []})

    stub.answer = sleeps
    with pytest.raises(BrokerUnavailable, match="not known"):
        await client.next()
    assert await client.next(wait_s=1) == []


async def test_nobody_there(stub: Stub) -> None:
    """A broker that does not listen is not available."""
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(BrokerUnavailable):
            await client.next()


async def test_an_error_body(stub: Stub, client: Client) -> None:
    """The class is the code's, with the message and Retry-After in s."""
    stub.answer = _says(503, '{"error":{"message":"no store","code":"store_unavailable"}}', Retry_After="7")
    with pytest.raises(StoreUnavailable, match="no store") as raised:
        await client.next()
    assert raised.value.retry_after_s == 7


async def test_a_code_of_tomorrow(stub: Stub, client: Client) -> None:
    """A code that this client does not know is a plain error."""
    stub.answer = _says(418, '{"error":{"message":"tea","code":"teapot"}}')
    with pytest.raises(TitanError, match="tea"):
        await client.next()


async def test_a_proxy_in_between(stub: Stub, client: Client) -> None:
    """A proxy's own 502 is a broker that is not available; a Retry-After that is a date is passed over."""
    stub.answer = _says(502, "<h1>Bad Gateway</h1>", Retry_After="Mon, 23 Nov 2026 00:00:00 GMT")
    with pytest.raises(BrokerUnavailable, match="502") as raised:
        await client.next()
    assert raised.value.retry_after_s is None


@pytest.mark.parametrize("status", [200, 302, 404, 500])
@pytest.mark.parametrize("text", ["", "<h1>Hello</h1>", "[" * 100_000, '{"error": 1}', '{"jobs": [{"id": 1}]}'])
async def test_another_server(stub: Stub, client: Client, status: int, text: str) -> None:
    """A server that is no broker is reported with its address, whatever it answers."""
    stub.answer = _says(status, text, Location="/elsewhere")
    with pytest.raises(TitanError, match=f"What answers at {stub.url}"):
        await client.next()
    assert len(stub.requests) == 1
