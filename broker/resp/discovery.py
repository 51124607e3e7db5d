"""Finding servers that move: each new connection asks the sentinels, or a node of the cluster, where to go."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError

from broker.resp.keys import slot
from broker.resp.url import StoreAddress

Resolver = Callable[[], Awaitable[tuple[str, int]]]

_log = logging.getLogger(__name__)


def resolver_for(address: StoreAddress, partition: str, timeout_s: float) -> Resolver | None:
    """How to find the server of a partition; None for one that stays where its address says."""
    if address.kind == "sentinel":
        return _Primary(address, timeout_s).find
    if address.kind == "cluster":
        return _Node(address, partition, timeout_s).find
    return None


class _Primary:
    def __init__(self, address: StoreAddress, timeout_s: float) -> None:
        self._address = address
        self._seeds = list(address.seeds)
        self._timeout_s = timeout_s

    async def find(self) -> tuple[str, int]:
        """The primary that the first sentinel that answers names. Raises redis-py's ConnectionError."""
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
        options = dict(self._address.seed_options)
        fault: Exception | str = "none knows it"
        for seed in tuple(self._seeds):
            try:
                place = await _asked(seed, self._address, self._timeout_s / 3, words, options)
            except (RedisError, OSError, TimeoutError) as error:
                fault = error
                self._seeds.remove(seed)
                self._seeds.append(seed)  # the next time others are asked first
                continue
            if place:
                return _text(place[0]), int(place[1])
        raise NotConnected(f"no sentinel says where {self._address.service} is: {fault}")


class _Node:
    def __init__(self, address: StoreAddress, partition: str, timeout_s: float) -> None:
        self._address = address
        self._slot = slot(partition)
        self._timeout_s = timeout_s
        self._known: list[tuple[str, int]] = []

    async def find(self) -> tuple[str, int]:
        """The node that serves the slot now, as the first node that answers knows. Raises ConnectionError."""
        seeds = list(dict.fromkeys([*self._known, *self._address.seeds]))
        fault: Exception | str = "no node serves the slot"
        for seed in seeds:
            try:
                ranges = await _asked(seed, self._address, self._timeout_s / 2, ("CLUSTER", "SLOTS"), {})
            except (RedisError, OSError, TimeoutError) as error:
                fault = error
                continue
            self._known = [_place(primary, seed) for _, _, primary, *_ in ranges]
            for first, last, primary, *_ in ranges:
                if int(first) <= self._slot <= int(last):
                    return _place(primary, seed)
        raise NotConnected(f"no node says who serves slot {self._slot}: {fault}")


async def _asked(
    seed: tuple[str, int], address: StoreAddress, timeout_s: float, words: Sequence[str], options: dict[str, str]
) -> Any:
    """What one sentinel or node answers."""
    kwargs: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **options}
    kwargs["retry"] = Retry(NoBackoff(), 0)
    if address.kind == "cluster":
        client = Redis.from_url(address.url, **kwargs)
        client.connection_pool.connection_kwargs.update(host=seed[0], port=seed[1])
    else:
        client = Redis(host=seed[0], port=seed[1], ssl=address.url.startswith("rediss:"), **kwargs)
    async with client:
        client.response_callbacks.clear()  # the plain reply, whatever redis-py makes of it
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


def _place(node: Sequence[Any], asked: tuple[str, int]) -> tuple[str, int]:
    """Where a node listens; one that does not know its own address is where it was asked."""
    host = _text(node[0] or b"")
    return host if host not in {"", "?"} else asked[0], int(node[1])


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
