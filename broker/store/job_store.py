"""The job store: its parts have a method for each verb, and each verb is one script.

Times are ms since 1970, by the store's clock. Any method may raise StoreUnavailable or StoreFull. A verb of one job
raises its refusal; a verb of many jobs returns it in the place of the job's result.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from broker.core.errors import StoreUnavailable
from broker.core.events import event
from broker.core.ids import Ids, lease_token
from broker.core.settings import BrokerSettings
from broker.resp.bootstrap import raise_layout, set_up, set_up_again, verify
from broker.resp.marks import READS, StoreDiffers, lowest_marks
from broker.resp.partitions import Partitions
from broker.resp.topology import Server, Topology
from broker.resp.write_barrier import WriteBarrier
from broker.store.audit import AuditTrail
from broker.store.batches import Batches
from broker.store.brokers import Brokers
from broker.store.bulks import Bulks
from broker.store.clock import Clock
from broker.store.completer import Completer
from broker.store.count_flusher import CountFlusher
from broker.store.dispatcher import Dispatcher
from broker.store.ends import Ends
from broker.store.enqueuer import Enqueuer
from broker.store.event_feed import EventFeed
from broker.store.flows import Flows
from broker.store.glances import Glances
from broker.store.group_limits import limits_of
from broker.store.groups import Groups
from broker.store.jobs import Jobs
from broker.store.lanes import Lanes
from broker.store.looks import Looks
from broker.store.maintenance import Maintenance
from broker.store.modes import Modes
from broker.store.order import Order
from broker.store.scaling import Scaling
from broker.store.schedule_fires import ScheduleFires
from broker.store.schedules import Schedules
from broker.store.sessions import StoredSessions
from broker.store.statistics import Statistics
from broker.store.tally import Tally
from broker.store.transfer import Transfer
from broker.store.unique_keys import UniqueKeys
from broker.store.why import Why
from broker.store.workers import Workers

_log = logging.getLogger(__name__)


class JobStore:
    """All that Titan keeps, but for logs. `is_plain` leaves `#!lua` out of the scripts, for fakeredis."""

    def __init__(self, topology: Topology, settings: BrokerSettings, *, is_plain: bool = False) -> None:
        self._layout = 0
        self.topology = topology
        self.settings = settings
        self.clock = Clock()
        partitions, ids, broker = Partitions(topology, is_plain=is_plain), Ids(), lease_token()
        tally = Tally()
        limit_s, replicas = settings.durable_limit_s, settings.durable_replicas
        self._barriers = {
            server: WriteBarrier(server.redis, limit_s, replicas, server.moving) for server in topology.all
        }
        self._partitions = partitions
        partitions.before_loading(self._before_loading)
        self.modes = Modes(partitions)
        self.enqueuer = Enqueuer(partitions, self.clock, ids, tally, settings, self._barrier, broker, self.modes)
        grace_ms = round(settings.stop_grace_s * 1000)
        self.dispatcher = Dispatcher(partitions, self.clock, tally, self.modes, broker, grace_ms)
        self.ends = Ends(partitions)
        self.completer = Completer(partitions, self.clock, ids, tally, grace_ms, self.ends)
        self.jobs = Jobs(partitions, self.clock, ids, tally, limits_of(settings), self.ends)
        self.order = Order(partitions, self.modes)
        self.groups = Groups(topology, partitions, self.clock, tally, self.modes)
        self.workers = Workers(partitions, self.clock, tally, settings.stop_grace_s)
        self.looks = Looks(partitions, self.workers)
        self.why = Why(partitions, self.clock, self.workers, self.dispatcher.asked)
        self.flows = Flows(partitions)
        self.unique_keys = UniqueKeys(partitions, self.clock)
        self.lanes = Lanes(partitions)
        self.batches = Batches(partitions, self.clock, ids, tally, settings, self.enqueuer.image_of, broker, self.modes)
        self.schedules = Schedules(partitions, self.clock)
        self.schedule_fires = ScheduleFires(partitions, self.clock, ids, tally, settings, self.schedules, self.modes)
        self.brokers = Brokers(partitions, self.clock)
        self.audit = AuditTrail(partitions)
        self.bulks = Bulks(partitions, self.clock, ids, tally, limits_of(settings), settings.idempotency_ttl_s)
        self.sessions = StoredSessions(partitions, self.clock)
        self.maintenance = Maintenance(topology, partitions, self.clock, ids, tally)
        self.counts = CountFlusher(partitions, self.clock, tally, broker, settings.stats_groups)
        self.events = EventFeed(partitions, self.clock, tally, broker)
        self.statistics = Statistics(partitions, self.clock)
        self.glances = Glances(partitions, self.clock)
        self.scaling = Scaling(partitions, self.clock)
        self.transfer = Transfer(topology, partitions, self.clock, self.schedules)

    @property
    def partitions(self) -> tuple[str, ...]:
        """The names of the partitions."""
        return self._partitions.names

    def partition_of(self, group: str) -> str:
        """The partition that has the group."""
        return self._partitions.of(group)

    def wake_at_enqueue(self, wake: Callable[[str | None], None]) -> None:
        """Call `wake` with a group when new jobs of it are on their way, and with None when some came late."""
        self.enqueuer.on_enqueue = wake
        self._partitions.on_reload(lambda: wake(None))

    async def open(self) -> None:
        """Check the layout and the number of partitions of every server, or set it up. Raises StoreDiffers.

        Nothing is sent to a server that does not answer now until `verify_again` has checked it.
        """
        for server in await set_up(self.topology, self.settings.key_prefix):
            why = f"{server.shown} has not answered since this broker started"
            _log.warning("%s; its groups get 503 until it does", why, extra=event("store.lost", server=server.shown))
            self.topology.hold(server, f"{why}.")

    async def verify(self, layouts: Iterable[int] = READS) -> None:
        """Check the same and write nothing. Raises StoreDiffers."""
        await verify(self.topology, self.settings.key_prefix, layouts)

    async def verify_again(self) -> None:
        """Check the same while a broker runs; a server that was emptied is set up again. Raises StoreDiffers."""
        await self._verify_again(())

    async def layout(self) -> int | None:
        """The number of the store's layout, the lowest of its servers; None before the first start."""
        return (await lowest_marks(self.topology, self.settings.key_prefix)).layout

    async def require_layout(self, number: int, what: str) -> None:
        """Raise StoreUnavailable while the store has an older layout: brokers that do not know `what` may serve it."""
        if self._layout >= number:
            return
        self._layout = await self.layout() or 0
        if self._layout < number:
            text = f"{what} need layout {number} of the store, which has layout {self._layout}"
            raise StoreUnavailable(f"{text}: brokers of an older version serve it, or did just now.", retry_after_s=5)

    async def raise_layout(self, before: int, after: int) -> bool:
        """Give the servers the number of the next layout where they have the one before; whether any changed."""
        return await raise_layout(self.topology, self.settings.key_prefix, before, after)

    def refuse(self, why: str) -> None:
        """Send no script any more: each call raises StoreUnavailable with this sentence."""
        self.topology.refuse(why)

    async def close(self) -> None:
        """Close the connections that the store opened itself."""
        for barrier in self._barriers.values():
            await barrier.close()

    async def ready(self) -> list[str]:
        """Run a script that may write on every server; those that do not answer. Raises StoreUnavailable for all."""
        return await self.maintenance.ready()

    async def _verify_again(self, servers: Sequence[Server]) -> None:
        for server in await set_up_again(self.topology, self.settings.key_prefix, servers):
            _log.warning("%s was emptied: it has the numbers of its layout and partitions again", server.shown)

    async def _before_loading(self, partitions: Iterable[str]) -> None:
        """Look at the layout again: a server that knows no script may be another one. Raises StoreUnavailable."""
        try:
            await self._verify_again(list(dict.fromkeys(map(self.topology.of, partitions))))
        except StoreDiffers as error:
            raise StoreUnavailable(str(error)) from error

    def _barrier(self, partition: str) -> WriteBarrier:
        return self._barriers[self.topology.of(partition)]
