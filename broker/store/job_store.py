"""The job store: its parts have a method for each verb, and each verb is one script.

Times are ms since 1970, by the store's clock. Any method may raise StoreUnavailable or StoreFull. A verb of one job
raises its refusal; a verb of many jobs returns it in the place of the job's result.
"""

from collections.abc import Callable

from broker.core.ids import Ids, lease_token
from broker.core.settings import BrokerSettings
from broker.resp.bootstrap import set_up
from broker.resp.partitions import Partitions
from broker.resp.topology import Topology
from broker.resp.write_barrier import WriteBarrier
from broker.store.clock import Clock
from broker.store.completer import Completer
from broker.store.dispatcher import Dispatcher
from broker.store.enqueuer import Enqueuer, limits_of
from broker.store.groups import Groups
from broker.store.jobs import Jobs
from broker.store.maintenance import Maintenance
from broker.store.workers import Workers


class JobStore:
    """All that Titan keeps, but for logs. `is_plain` leaves `#!lua` out of the scripts, for fakeredis."""

    def __init__(self, topology: Topology, settings: BrokerSettings, *, is_plain: bool = False) -> None:
        self.topology = topology
        self.settings = settings
        self.clock = Clock()
        partitions, ids, broker = Partitions(topology, is_plain=is_plain), Ids(), lease_token()
        limit_s, replicas = settings.durable_limit_s, settings.durable_replicas
        self._barriers = {server: WriteBarrier(server.redis, limit_s, replicas) for server in topology.all}
        self._partitions = partitions
        self.enqueuer = Enqueuer(partitions, self.clock, ids, settings, self._barrier, broker)
        grace_ms = round(settings.stop_grace_s * 1000)
        self.dispatcher = Dispatcher(partitions, self.clock, broker, grace_ms)
        self.completer = Completer(partitions, self.clock, ids, grace_ms)
        self.jobs = Jobs(partitions, self.clock, ids, limits_of(settings))
        self.groups = Groups(partitions, self.clock)
        self.workers = Workers(partitions, self.clock, settings.stop_grace_s)
        self.maintenance = Maintenance(topology, partitions, self.clock, ids)

    @property
    def partitions(self) -> tuple[str, ...]:
        """The names of the partitions."""
        return self._partitions.names

    def wake_at_enqueue(self, wake: Callable[[str | None], None]) -> None:
        """Call `wake` with a group when new jobs of it are on their way, and with None when some came late."""
        self.enqueuer.on_enqueue = wake
        self._partitions.on_reload(lambda: wake(None))

    async def open(self) -> None:
        """Check that each server has its part of this number of partitions, or set it up. Raises PartitionsDiffer."""
        await set_up(self.topology, self.settings.key_prefix)

    async def close(self) -> None:
        """Close the connections that the store opened itself."""
        for barrier in self._barriers.values():
            await barrier.close()

    async def ready(self) -> None:
        """Run a script that may write. Raises StoreUnavailable."""
        await self.maintenance.reap(0)

    def _barrier(self, partition: str) -> WriteBarrier:
        return self._barriers[self.topology.of(partition)]
