"""A plain client of a broker's front end."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from broker.http.server.runner import BrokerRunner
from broker.models.results import Problem, ProblemWrapper

NO_JOB = "0" * 16
"""The id of no job."""


class Reply(NamedTuple):
    """An answer: its status, headers and body."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def problem(self) -> Problem:
        """The error body; anything else fails the test."""
        assert self.headers["Content-Type"] == "application/json", self
        keys = self.json["error"].keys()
        assert self.json.keys() == {"error"}
        assert keys <= {"message", "fields", "code", "doc"}
        assert keys >= {"message", "code"}
        return msgspec.json.decode(self.text, type=ProblemWrapper).error


class Http:
    """A client. It adds no Content-Type by itself and leaves paths as they are."""

    def __init__(self, session: aiohttp.ClientSession, runner: BrokerRunner) -> None:
        self.session = session
        self.runner = runner
        self.address: tuple[str, int] = runner.addresses[0][:2]

    async def __call__(self, method: str, path: str, body: Any = None, /, **headers: str) -> Reply:
        """Send a request: a body of bytes, text, FormData or an async generator as it is, anything else as JSON."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, (bytes, str, aiohttp.FormData)) and not hasattr(body, "__aiter__"):
            body = json.dumps(body)
            names.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        sent = io.BytesIO(body) if isinstance(body, bytes) else body
        skipped = () if isinstance(body, aiohttp.FormData) else ("Content-Type",)
        url = URL(f"http://{self.address[0]}:{self.address[1]}{path}", encoded=True)
        sending = self.session.request(
            method, url, data=sent, headers=names, skip_auto_headers=skipped, allow_redirects=False
        )
        async with sending as response:
            return Reply(response.status, response.headers, await response.text(errors="replace"))

    async def form(self, path: str, text: str, **headers: str) -> Reply:
        """POST a urlencoded form."""
        return await self("POST", path, text, Content_Type="application/x-www-form-urlencoded", **headers)

    async def enqueue(self, *jobs: dict[str, Any], group: str = "g") -> list[dict[str, Any]]:
        """New jobs; one plain one when none is given."""
        reply = await self(
            "POST", f"/v1/groups/{group}/jobs", {"jobs": [{"image": "i", **job} for job in jobs or ({},)]}
        )
        assert reply.status == 201, reply
        return reply.json["jobs"]

    async def running(self, *jobs: dict[str, Any], group: str = "g") -> list[dict[str, Any]]:
        """New jobs, handed out."""
        n = len(await self.enqueue(*jobs, group=group))
        return (await self("GET", f"/v1/jobs?n={n}&group={group}")).json["jobs"]

    @asynccontextmanager
    async def line(self, text: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection on which these bytes are sent, closed at the end; what is done on it takes 5 s at most."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            async with asyncio.timeout(5):
                writer.write(text)
                yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def raw(self, text: bytes) -> bytes:
        """Send these bytes and read until the broker closes the connection."""
        async with self.line(text) as (reader, _):
            return await reader.read()
