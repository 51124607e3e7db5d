"""What an import reads and what it sends: the lines of a file in their order, and calls of restore of bounded size."""

from broker.cli.export_file import Read
from broker.core.errors import Invalid
from broker.resp.marks import READS
from broker.store.format.exported import (
    FORMAT,
    Begin,
    Digest,
    End,
    ExportedBatch,
    ExportedGroup,
    ExportedJob,
    Line,
    callback_groups,
)
from broker.store.transfer import CALL_BYTES, PAGE, Restored, Transfer

_HELD_BYTES = 8 * CALL_BYTES
"""What waits for all partitions together; then each of them gets what it has."""


class Reading:
    """Follows the lines of a file, and compares its end with them."""

    def __init__(self, *, is_incomplete: bool) -> None:
        self.begin: Begin | None = None
        self.digest = Digest()
        self._end: End | None = None
        self._is_incomplete = is_incomplete

    def take(self, read: Read) -> None:
        """The next line. Raises Invalid, with the line in its fields."""
        line, place = read.line, f"line {read.number}"
        if self.begin is None and line.export is None:
            raise Invalid("This is no export of Titan: it does not begin as one.", fields=place)
        if self._end is not None:
            raise Invalid("There are lines behind the end of the export.", fields=place)
        if line.export is not None:
            self._start(line.export, place)
        elif line.end is not None:
            self._end = line.end
        else:
            self.digest.add(read.text, is_group=line.group is not None, is_batch=line.batch is not None)

    def _start(self, begin: Begin, place: str) -> None:
        if self.begin is not None:
            raise Invalid("A second export begins here: import one file after the other.", fields=place)
        if begin.format != FORMAT:
            raise Invalid(
                f"The export has format {begin.format}; this version reads {FORMAT}: use Titan {begin.version}.",
                fields=place,
            )
        if begin.layout not in READS:
            ours = " and ".join(map(str, READS))
            raise Invalid(
                f"The export is of a store with layout {begin.layout}; this version reads {ours}: use Titan "
                f"{begin.version}.",
                fields=place,
            )
        self.begin = begin

    def finish(self) -> None:
        """Compare the end with the lines. Raises Invalid when lines are missing, doubled or changed."""
        if self.begin is None:
            raise Invalid("The file is empty.")
        if self._is_incomplete:
            return
        if self._end is None:
            raise Invalid("The export has no end: it was cut off. --incomplete imports what it has.")
        found = self.digest.end()
        numbers = (found.groups, found.batches, found.jobs)
        if numbers != (self._end.groups, self._end.batches, self._end.jobs):
            raise Invalid(
                f"The export has {found.groups} groups, {found.batches} batches and {found.jobs} jobs, but was written "
                f"with {self._end.groups}, {self._end.batches} and {self._end.jobs}. --incomplete imports what it has."
            )
        if found.digest != self._end.digest:
            raise Invalid("Lines were changed: their digest is another. --incomplete imports them as they are.")


class _Call:
    def __init__(self) -> None:
        self.groups: list[ExportedGroup] = []
        self.batches: list[ExportedBatch] = []
        self.jobs: list[ExportedJob] = []
        self.size_bytes = 0


class ImportCalls:
    """Collects lines by partition, and restores them call by call."""

    def __init__(self, transfer: Transfer) -> None:
        self.groups = 0
        self.kept = 0
        self.jobs = 0
        self.present = 0
        self._transfer = transfer
        self._calls: dict[str, _Call] = {}
        self._held_bytes = 0

    async def add(self, text: bytes, line: Line) -> None:
        """Take a line of a group, a batch or a job; others are passed over.

        Raises Invalid, StoreFull, StoreUnavailable.
        """
        group = line.group_name
        if not group:
            return
        if line.batch is not None:
            self._check_callbacks(line.batch)
        partition = self._transfer.partition_of(group)
        call = self._calls.setdefault(partition, _Call())
        if call.size_bytes + len(text) > CALL_BYTES or len(call.jobs) + len(call.batches) + len(call.groups) >= PAGE:
            await self._send(partition)
            call = self._calls.setdefault(partition, _Call())
        call.size_bytes += len(text)
        self._held_bytes += len(text)
        if line.group is not None:
            call.groups.append(line.group)
        if line.batch is not None:
            call.batches.append(line.batch)
        if line.job is not None:
            call.jobs.append(line.job)
        if self._held_bytes > _HELD_BYTES:
            await self.flush()

    def _check_callbacks(self, batch: ExportedBatch) -> None:
        """Raise Invalid for a callback whose group is in another partition than the batch: it could not be created."""
        for name, group in callback_groups(batch).items():
            if self._transfer.partition_of(group) != self._transfer.partition_of(batch.group):
                raise Invalid(
                    f"{name} of the batch {batch.id} is a job of the group {group}, which is in another partition "
                    "here: let the batch end before the export, or import into as many partitions as there were."
                )

    async def flush(self) -> None:
        """Restore all that is held."""
        for partition in list(self._calls):
            await self._send(partition)

    async def _send(self, partition: str) -> None:
        call = self._calls.pop(partition)
        self._held_bytes -= call.size_bytes
        if not call.groups and not call.batches and not call.jobs:
            return
        done: Restored = await self._transfer.restore(partition, call.groups, call.jobs, call.batches)
        self.groups += done.groups
        self.kept += done.kept
        self.jobs += done.jobs
        self.present += len(call.jobs) - done.jobs
