"""Asks sentinels or nodes of a cluster: all of them at once, over connections that stay open."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from broker.resp.url import StoreAddress

T = TypeVar("T")
Place = tuple[str, int]
"""Host and port."""
LONGEST_S = 0.5
"""How long one that does not reply is waited for, in s."""
_REST_S = 0.1
"""How long the rest is waited for after more than half have replied, in s."""


class Seed:
    """One sentinel or node, with the login and TLS of the store's address. `fault`: why it did not answer."""

    def __init__(self, place: Place, address: StoreAddress) -> None:
        self.place = place
        self.fault = ""
        self._address = address
        self._asked = self._client(LONGEST_S)

    async def ask(self, commands: Sequence[Sequence[str]]) -> list[Any] | None:
        """The replies, error replies among them; None if it does not answer."""
        pipe = self._asked.pipeline(transaction=False)
        for words in commands:
            pipe.execute_command(*words)
        try:
            replies = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError, RuntimeError) as fault:  # RuntimeError: uvloop, of a closed socket
            self.fault = str(fault) or type(fault).__name__
            return None
        self.fault = next((str(reply) for reply in replies if isinstance(reply, Exception)), "")
        return replies

    def read(self, view_of: Callable[[Sequence[Any], Place], T | None], replies: Sequence[Any]) -> T | None:
        """The view in the replies; None if they have another form than the commands should have."""
        try:
            return view_of(replies, self.place)
        except (ValueError, LookupError, TypeError, AttributeError) as fault:
            self.fault = f"unexpected reply: {fault}"
            return None

    async def listen(self, channel: str) -> AsyncIterator[str]:
        """The messages of a channel. Raises RedisError or OSError when the connection ends."""
        async with self._client(None) as client, client.pubsub() as channels:
            await channels.subscribe(channel)
            async for message in channels.listen():
                if message["type"] == "message":
                    yield text_of(message["data"])

    async def close(self) -> None:
        """Close the connection."""
        await self._asked.aclose()

    def _client(self, timeout_s: float | None) -> Redis:
        client = Redis.from_url(
            self._address.url,
            socket_timeout=timeout_s,
            socket_connect_timeout=LONGEST_S,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        options = client.connection_pool.connection_kwargs
        options.update(host=self.place[0], port=self.place[1])
        if self._address.kind == "sentinel":
            login = dict(self._address.seed_options)
            options.update(db=0, username=login.get("username"), password=login.get("password"))
        client.response_callbacks.clear()  # returns the reply as it came: redis-py would convert it
        return client


async def ask_all(seeds: Iterable[Seed], commands: Sequence[Sequence[str]]) -> AsyncIterator[tuple[Seed, list[Any]]]:
    """Each that replies, with its replies, as they come. Those that do not reply delay the end by LONGEST_S at most."""
    tasks = {asyncio.create_task(seed.ask(commands)): seed for seed in seeds}
    waiting, answered = set(tasks), 0
    end = time.monotonic() + LONGEST_S
    try:
        while waiting and (left_s := end - time.monotonic()) > 0:
            done, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (replies := task.result()) is not None:
                    answered += 1
                    yield tasks[task], replies
            if 2 * answered > len(tasks):
                end = min(end, time.monotonic() + _REST_S)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def faults_of(seeds: Iterable[Seed]) -> str:
    """Why those that did not answer did not."""
    return "; ".join(f"{seed.place[0]}:{seed.place[1]}: {seed.fault or 'no answer'}" for seed in seeds)


def text_of(value: object) -> str:
    """A word of a reply as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
