"""Runs the bulks that this broker began, and continues those of brokers that died.

A broker owns a bulk for 10 s after each note. Each broker looks for bulks without an owner every 2 s,
so another one continues 12 s after the last note of one that died.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from broker.core.errors import LeaseLost, NotFound, TitanError
from broker.core.events import event
from broker.core.ids import lease_token
from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.models.bulk import ACTIONS, Bulk
from broker.reaper.bulk_work import CAME, Act, BulkWork
from broker.store.format.bulk_record import KeptBulk, shown_bulk
from broker.store.job_store import JobStore

TAKE_S = 2.0
"""How often a broker looks for bulks whose broker is silent, s."""
_CLOSE_S = 2.0

_log = logging.getLogger("broker.bulk")


class BulkRunner:
    """The bulks of one broker. `on_end` is called with each bulk that ended here."""

    def __init__(self, store: JobStore) -> None:
        self.owner = lease_token()
        self.on_end: Callable[[Bulk], None] = lambda _: None
        self._store = store
        self._acts: Counter[Act] = Counter()
        self._running: dict[str, tuple[BulkWork, asyncio.Task[None]]] = {}

    def start(self, kept: KeptBulk) -> None:
        """Carry out a bulk that this broker owns."""
        work = BulkWork(self._store, self.owner, kept, self._acts)
        self._running[kept.id] = work, asyncio.create_task(self._run(work))

    async def run(self) -> None:
        """Continue bulks of brokers that died, until cancelled."""
        while True:
            await asyncio.sleep(TAKE_S)
            try:
                await self.take()
            except TitanError as fault:
                _log.debug("bulks without an owner were not looked for: %s", fault.message)
            except Exception:  # noqa: BLE001 - it is logged, and the loop continues
                _log.exception("the search for bulks without an owner failed")

    async def take(self) -> None:
        """Continue every bulk that has no owner now."""
        while (kept := await self._store.bulks.take(self.owner)) is not None:
            if kept.id in self._running:
                self._running[kept.id][1].cancel()  # it was silent for too long; what it knows is too old
            resumed = event("bulk.resumed", group=kept.spec.group, bulk=kept.id)
            _log.info("bulk %s of group %s continues here", kept.id, kept.spec.group, extra=resumed)
            self.start(kept)

    async def close(self) -> None:
        """Stop working, and let other brokers continue at once."""
        running, self._running = list(self._running.values()), {}
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                for work, _ in running:
                    with suppress(TitanError):
                        await self._store.bulks.release(work.kept.id, self.owner, work.progress)

    def families(self) -> list[Family]:
        """The number of bulks that run here, how many of these have to wait, and what they did, as metrics."""
        halted = sum(bool(work.progress.why or work.progress.paused_because) for work, _ in self._running.values())
        acts = [
            Sample(self._acts[action, came], {"action": action, "outcome": came}) for action in ACTIONS for came in CAME
        ]
        return [
            gauge("titan_bulk_running", "Bulks that this broker carries out.", [Sample(len(self._running))]),
            gauge("titan_bulk_waiting", "Bulks of this broker that wait for the store, or for room.", [Sample(halted)]),
            counter("titan_bulk_jobs_total", "Jobs that bulks had at this broker, by what became of them.", acts),
        ]

    async def _run(self, work: BulkWork) -> None:
        bulk_id = work.kept.id
        try:
            await work.run()
            ended = shown_bulk(work.kept)
            keys = {"group": ended.group, "bulk": bulk_id, "state": ended.state, "done": ended.done}
            names = {
                "done": event("bulk.done", **keys),
                "stopped": event("bulk.stopped", **keys),
                "failed": event("bulk.failed", **keys),
            }
            words = "bulk %s %s: %d matched, %d done"
            _log.info(words, bulk_id, ended.state, ended.matched, ended.done, extra=names[ended.state])
            self.on_end(ended)
        except (LeaseLost, NotFound):
            _log.warning("bulk %s is no longer carried out here: this broker was silent for too long", bulk_id)
        except Exception:  # noqa: BLE001 - it is logged, and a broker takes the bulk again
            _log.exception(
                "bulk %s failed; it continues in a moment", bulk_id, extra=event("bulk.failed", bulk=bulk_id)
            )
        finally:
            if self._running.get(bulk_id, (None,))[0] is work:
                del self._running[bulk_id]
