"""`titan import`: groups and jobs of an export into a store."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import click
from msgspec import Struct

from broker.cli.client_options import option
from broker.cli.commands import TitanCommand
from broker.cli.event_loop import run
from broker.cli.export_file import read_lines
from broker.cli.import_calls import ImportCalls, Reading
from broker.cli.options import example, json_option, settings_from
from broker.cli.output import Progress, progress, show_json
from broker.cli.store_options import store_options
from broker.core.errors import Invalid, StartFailed, TitanError
from broker.core.settings import BrokerSettings
from broker.core.words import counted
from broker.store.connect import opened
from broker.store.format.exported import Begin, Digest
from broker.store.job_store import JobStore
from broker.store.transfer import Transfer

_AGAIN = "Run the same command again: jobs that exist already stay as they are."


class ImportReport(Struct, frozen=True, kw_only=True):
    """What an import did. `present`: jobs that were there already. `kept`: groups that have other settings there."""

    groups: int
    batches: int
    jobs: int
    present: int
    kept: int
    digest: str


@example(
    "titan import titan.ndjson --redis-url redis://new:6379/0 --partitions 16 --verify",
    "titan import titan.ndjson --key-prefix staging",
)
@click.command("import", cls=TitanCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@store_options
@option("--merge", is_flag=True, help="Import into a store that has other jobs.")
@option("--live", is_flag=True, help="Import while brokers run on the store: its jobs are dispatched at once.")
@option("--incomplete", is_flag=True, help="Import a file that has no end, or lines that its end does not count.")
@option("--verify", is_flag=True, help="Read the store afterwards, and compare it with the file.")
@json_option
@click.pass_context
def import_(
    context: click.Context,
    /,
    *,
    file: Path,
    merge: bool,
    live: bool,
    incomplete: bool,
    verify: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Bring the groups and jobs of an export into a store: of another prefix, number of partitions, server or cluster.

    FILE is what `titan export` wrote; - is stdin. A file is read whole before anything is written: one that is cut off
    or changed is refused. A second run of the same file changes nothing, so run an import again that was cut off. Stop
    the brokers of the store first: a job that ran and was deleted in between would come back with the second run.
    """
    if verify and (merge or live):
        raise click.UsageError("--verify compares the whole store: leave out --merge and --live.", ctx=context)
    settings = settings_from(context, BrokerSettings)
    work = _Import(file, is_merge=merge, is_live=live, is_incomplete=incomplete)
    report = run(work.go(settings, is_verified=verify))
    if as_json:
        show_json(report)
        return
    batches = f", {counted(report.batches, 'batch')}" if report.batches else ""
    click.echo(f"{counted(report.groups, 'group')}{batches} and {counted(report.jobs, 'job')} imported.")
    if report.present:
        click.echo(f"{counted(report.present, 'job')} there already.")
    if report.kept:
        click.echo(f"{counted(report.kept, 'group')} with other settings there: these were kept.")
    click.echo(f"digest {report.digest}" + (", which the store has too" if verify else ""))


class _Import:
    """One run of an import."""

    def __init__(self, path: Path, *, is_merge: bool, is_live: bool, is_incomplete: bool) -> None:
        self._path = path
        self._is_merge = is_merge
        self._is_live = is_live
        self._is_incomplete = is_incomplete

    async def go(self, settings: BrokerSettings, *, is_verified: bool) -> ImportReport:
        """All of it. Raises StartFailed."""
        try:
            if str(self._path) != "-":
                with self._path.open("rb") as file, _bar(file, "Reading") as bar:
                    self._look(file, bar)
            async with _opened(settings) as store:
                if str(self._path) == "-":
                    report = await self._into(store, sys.stdin.buffer)
                else:
                    with self._path.open("rb") as file:
                        report = await self._into(store, file)
                if is_verified:
                    await _verify(store.transfer, report)
                return report
        except Invalid as error:
            raise StartFailed(f"{self._path}: {': '.join(filter(None, (error.fields, error.message)))}") from error
        except OSError as error:
            raise StartFailed(f"{self._path} cannot be read: {error.strerror}.") from error

    def _look(self, file: BinaryIO, bar: Progress) -> None:
        """Read the file whole, and import nothing. Raises Invalid."""
        reading = Reading(is_incomplete=self._is_incomplete)
        for read in read_lines(file):
            reading.take(read)
            bar.update(len(read.text) + 1)
        reading.finish()

    async def _into(self, store: JobStore, file: BinaryIO) -> ImportReport:
        reading, calls = Reading(is_incomplete=self._is_incomplete), ImportCalls(store.transfer)
        is_checked = False
        with _bar(file, "Importing") as bar:
            for read in read_lines(file):
                reading.take(read)
                if not is_checked and reading.begin is not None:
                    await self._check_store(store.transfer, reading.begin)
                    if reading.begin.order and not self._is_merge:
                        await store.order.set(reading.begin.order)
                    is_checked = True
                await calls.add(read.text, read.line)
                bar.update(len(read.text) + 1)
            await calls.flush()
        reading.finish()
        return ImportReport(
            groups=calls.groups,
            batches=calls.batches,
            jobs=calls.jobs,
            present=calls.present,
            kept=calls.kept,
            digest=reading.digest.end().digest,
        )

    async def _check_store(self, transfer: Transfer, begin: Begin) -> None:
        """Raise StartFailed where an import could mix or repeat jobs; else note which export is imported."""
        if not self._is_live and await transfer.brokers():
            raise StartFailed(
                "A broker runs on the store: it would dispatch jobs before all are imported, and a job that ran and "
                "was deleted comes back when the import is repeated. Stop all brokers, or give --live."
            )
        has = await transfer.jobs()
        if has and not self._is_merge and await transfer.imported() != begin.id:
            raise StartFailed(
                f"The store has {counted(has, 'job')} that this import did not bring: name an empty one, as another "
                "--key-prefix is, or give --merge."
            )
        await transfer.note_import(begin.id)


def _bar(file: BinaryIO, label: str) -> AbstractContextManager[Progress]:
    """How far a file is read, in bytes; of a pipe only how much of it."""
    size_bytes = os.fstat(file.fileno()).st_size if file is not sys.stdin.buffer else 0
    return progress(size_bytes or None, label if size_bytes else "byte", is_wanted=True)


@asynccontextmanager
async def _opened(settings: BrokerSettings) -> AsyncIterator[JobStore]:
    """The store, set up if it is new. Raises StartFailed."""
    async with opened(settings) as found:
        try:
            yield found.store
        except Invalid:
            raise
        except TitanError as error:
            why = error.__cause__ or error.message
            raise StartFailed(f"The store at {found.address}: {why}. {_AGAIN}") from error


async def _verify(transfer: Transfer, report: ImportReport) -> None:
    """Read the store, and compare it with the file. Raises StartFailed."""
    digest = Digest()
    with progress(await transfer.jobs(), "Verifying", is_wanted=True) as bar:
        async for piece in transfer.export():
            if piece.group:
                digest.add(piece.group, is_group=True)
            for line in piece.batches:
                digest.add(line, is_batch=True)
            for line in piece.jobs:
                digest.add(line)
            bar.update(len(piece.jobs))
    found = digest.end()
    if found.digest != report.digest:
        raise StartFailed(
            f"The store has {counted(found.jobs, 'job')} and digest {found.digest}, the file has {report.digest}."
        )
