"""All metrics of a broker in one answer."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import structs

from broker.diagnostics.job_counts import JobCounts
from broker.diagnostics.peer_metrics import PeerMetrics
from broker.diagnostics.snapshot import Reaches, Snapshots
from broker.metrics.exposition import Family
from broker.metrics.group_labels import OTHER
from broker.metrics.process import own_build, usage
from broker.metrics.prometheus import exposition
from broker.metrics.summed import summed

if TYPE_CHECKING:
    from broker.store.job_store import JobStore

Source = Callable[[], Iterable[Family]]


class MetricsReport:
    """Metrics of the sources that were added, and of the store. Of several brokers on one port each answers for all."""

    def __init__(self, store: "JobStore", siblings: PeerMetrics | None = None) -> None:
        self._sources: list[Source] = [own_build, usage]
        self.snapshots = Snapshots(store)
        self._jobs = JobCounts(store, self.snapshots)
        self._siblings = siblings

    def add(self, source: Source) -> None:
        """Include the metrics of this source in every report."""
        self._sources.append(source)

    def own(self) -> list[Family]:
        """The metrics of this process."""
        return [family for source in self._sources for family in source()]

    async def exposition(self, accept: str = "", reaches: Reaches | None = None) -> tuple[bytes, str]:
        """All metrics, and the type of their format, which the header Accept of the request chooses.

        `reaches`: which groups the caller may see; None: all.
        """
        families = await self._jobs.families()
        if self._siblings is None:
            families += self.own()
        else:
            families += summed(await self._siblings.all(self.own))
        if reaches is not None:
            families = [_within(family, reaches) for family in families]
        # With 100 groups it takes 10 ms, for which the event loop must not stand still.
        return await asyncio.to_thread(exposition, families, accept)

    async def close(self) -> None:
        """Stop the sweep over the groups."""
        await self.snapshots.close()


def _within(family: Family, reaches: Reaches) -> Family:
    """The family without the samples of groups that the caller may not see; _other has some of these in it."""
    samples = [sample for sample in family.samples if _is_within(sample.labels.get("group"), reaches)]
    return structs.replace(family, samples=samples)


def _is_within(group: str | None, reaches: Reaches) -> bool:
    return group is None or (group != OTHER and reaches(group))
