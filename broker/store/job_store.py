"""The store: a method for each verb, each one script. Times are ms since 1970, by the store's clock.

Calls of enqueue, next, touch, succeed, fail and finish that are made in one turn of the loop share a script's run.

Any method may raise StoreUnavailable or StoreFull. A one-job verb raises its refusal; a many-job verb returns it in the
place of the job's result.
"""

from broker.resp.bootstrap import set_up
from broker.store.delivery import HandingOut
from broker.store.enqueue import Enqueueing
from broker.store.groups import Groups
from broker.store.jobs import Jobs
from broker.store.maintenance import Upkeep
from broker.store.reports import Reporting


class Store(Enqueueing, HandingOut, Reporting, Jobs, Groups, Upkeep):
    """All that Titan keeps, but for logs. What it is made with stands in `broker.store.context`."""

    async def open(self) -> None:
        """Check that each server has its part of this number of partitions, or set it up. Raises PartitionsDiffer."""
        await set_up(self.servers, self.partitions, self.settings.key_prefix)

    async def close(self) -> None:
        """Close the connections that the store opened itself."""
        for fences in self._fences.values():
            await fences.close()

    async def ready(self) -> None:
        """Run a script that may write. Raises StoreUnavailable."""
        await self.reap(0)
