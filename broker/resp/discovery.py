"""Finds servers that move: each new connection asks the sentinels, or a node of the cluster, for the address."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError

from broker.resp.keys import slot
from broker.resp.redis_private import Resolver
from broker.resp.url import StoreAddress


def resolver_for(address: StoreAddress, partition: str, timeout_s: float) -> Resolver | None:
    """A function that finds the server of a partition; None for a server that never moves."""
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
        """The primary, as named by the first sentinel that replies. Raises redis-py's ConnectionError."""
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
        options = dict(self._address.seed_options)
        fault: Exception | str = "none knows it"
        for seed in tuple(self._seeds):
            try:
                found = await _ask(seed, self._address, self._timeout_s / 3, words, options)
            except (RedisError, OSError, TimeoutError) as error:
                fault = error
                self._seeds.remove(seed)
                self._seeds.append(seed)  # next time the others are asked first
                continue
            if found:
                return _decoded(found[0]), int(found[1])
        raise NotConnected(f"no sentinel knows the primary of {self._address.service}: {fault}")


class _Node:
    def __init__(self, address: StoreAddress, partition: str, timeout_s: float) -> None:
        self._address = address
        self._slot = slot(partition)
        self._timeout_s = timeout_s
        self._known: list[tuple[str, int]] = []

    async def find(self) -> tuple[str, int]:
        """The node that has the slot, as named by the first node that replies. Raises redis-py's ConnectionError."""
        seeds = list(dict.fromkeys([*self._known, *self._address.seeds]))
        fault: Exception | str = "no node has the slot"
        for seed in seeds:
            try:
                ranges = await _ask(seed, self._address, self._timeout_s / 2, ("CLUSTER", "SLOTS"), {})
            except (RedisError, OSError, TimeoutError) as error:
                fault = error
                continue
            self._known = [_address_of(primary, seed) for _, _, primary, *_ in ranges]
            for first, last, primary, *_ in ranges:
                if int(first) <= self._slot <= int(last):
                    return _address_of(primary, seed)
        raise NotConnected(f"no node knows which one has slot {self._slot}: {fault}")


async def _ask(
    seed: tuple[str, int], address: StoreAddress, timeout_s: float, words: Sequence[str], options: dict[str, str]
) -> Any:
    """The reply of one sentinel or node to one command."""
    kwargs: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **options}
    kwargs["retry"] = Retry(NoBackoff(), 0)
    if address.kind == "cluster":
        client = Redis.from_url(address.url, **kwargs)
        client.connection_pool.connection_kwargs.update(host=seed[0], port=seed[1])
    else:
        client = Redis(host=seed[0], port=seed[1], ssl=address.url.startswith("rediss:"), **kwargs)
    async with client:
        client.response_callbacks.clear()  # returns the reply as it came: redis-py would convert it
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


def _address_of(node: Sequence[Any], seed: tuple[str, int]) -> tuple[str, int]:
    """Host and port of a node. A node that does not know its own host has the host of the seed that replied."""
    host = _decoded(node[0] or b"")
    return host if host not in {"", "?"} else seed[0], int(node[1])


def _decoded(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
