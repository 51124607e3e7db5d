"""The store: a method for each verb, each one script. Times are ms since 1970, by the store's clock.

Calls of enqueue, next, touch, succeed, fail and finish that are made in one turn of the loop share a script's run.

Any method may raise StoreUnavailable or StoreFull. A one-job verb raises its refusal; a many-job verb returns it in the
place of the job's result.
"""

from broker.setting_up import set_up
from broker.verbs.enqueueing import Enqueueing
from broker.verbs.groups import Groups
from broker.verbs.handing_out import HandingOut
from broker.verbs.jobs import Jobs
from broker.verbs.reporting import Reporting
from broker.verbs.upkeep import Upkeep


class Store(Enqueueing, HandingOut, Reporting, Jobs, Groups, Upkeep):
    """All that Titan keeps, but for logs. What it is made with stands in `broker.verbs.ground`."""

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
