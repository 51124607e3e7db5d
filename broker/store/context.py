"""What all verbs stand on: the servers and partitions, the ids, the clock, and the hot verbs' shared runs."""

from collections.abc import Callable, Coroutine
from typing import Any

from redis.asyncio import Redis

from broker.core.ids import Ids, lease_token
from broker.core.settings import BrokerSettings
from broker.resp import keys
from broker.resp.multiplexer import Wire
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.resp.topology import Server, Servers
from broker.resp.write_barrier import Fences
from broker.store.batched_writes import Hot
from broker.store.dispatcher import Taking
from broker.store.image_dispatcher import Picking
from broker.store.limits import limits_of
from broker.store.undelivered import GivingBack
from broker.store.workers import Registry

PIECE = 250
"""Rows that one script reads: a page of more is put together from pieces, and the store serves others between."""


class Ground:
    """The state that every verb shares; a class of verbs adds methods and keeps nothing of its own.

    `now` is '' for the store's clock; a test may set a time in ms. Scripts go through the wire where there is one, all
    else through redis-py. `is_plain` leaves `#!lua` out of the scripts, for fakeredis.
    """

    def __init__(
        self,
        redis: Redis,
        settings: BrokerSettings,
        wire: Wire | None = None,
        *,
        is_plain: bool = False,
        servers: Servers | None = None,
    ) -> None:
        names = [keys.partition(settings.key_prefix, n) for n in range(settings.partitions)]
        self.redis = redis
        self.servers = servers or Servers([Server(redis, wire, "")], names)
        self.settings = settings
        self.now = ""
        wires = self.servers.wire
        self._partitions = Partitions(redis, wires, settings.key_prefix, settings.partitions, is_plain=is_plain)
        self.partitions = self._partitions.names
        self._limits = limits_of(settings)
        self.registry = Registry(self._partitions, settings.stop_grace_s)
        self._giving_back = GivingBack(self._partitions, lambda: self.now)
        give_back = self._giving_back.begin
        own = self._partitions, lambda: self.now
        broker, is_stepwise = lease_token(), wires is not None
        self._grace_ms = round(settings.stop_grace_s * 1000)
        self.hot = Hot(*own, self._limits, self._grace_ms, broker=broker, is_stepwise=is_stepwise)
        self._taking = Taking(*own, give_back, broker, self._grace_ms, is_stepwise=is_stepwise)
        self._picking = Picking(*own, give_back, broker, self._grace_ms)
        self._ids = Ids()
        limit_s, replicas = settings.durable_limit_s, settings.durable_replicas
        self._fences = {server: Fences(server.redis, limit_s, replicas) for server in self.servers.all}

    def wake_at_enqueue(self, wake: Callable[[str | None], None]) -> None:
        """Have `wake` told a group when new jobs of it are on their way, and None when some came late."""
        self.hot.on_enqueue = wake
        self._partitions.on_late(lambda: wake(None))

    def _run(self, verb: str, group: str, *arguments: Word) -> Coroutine[Any, Any, Any]:
        """A script in the partition that holds the group. Raises its refusal."""
        return self._partitions.run(verb, self._partitions.of(group), *arguments)
