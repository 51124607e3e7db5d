"""`titan export`: all groups and jobs of a store as NDJSON."""

import secrets
import time
from pathlib import Path

import click
from msgspec import UNSET, Struct

from broker.cli.client_options import option
from broker.cli.commands import TitanCommand
from broker.cli.event_loop import run
from broker.cli.export_file import ExportFile, begin_line, unfinished
from broker.cli.options import example, json_option
from broker.cli.output import Progress, is_terminal, progress, show_json
from broker.cli.store_options import existing_store, store_options
from broker.core.errors import StartFailed
from broker.core.timestamps import rfc3339
from broker.core.version import own_version
from broker.core.words import counted
from broker.models.settings import OrderName
from broker.resp.marks import WRITES
from broker.store.format.exported import FORMAT, Begin, Digest, encoded
from broker.store.job_store import JobStore
from broker.store.transfer import BEGINNING, Exported, Transfer

_LIVE = "A broker runs on this store: a page is of one moment, the whole is not. Stop all brokers before a move."


class ExportReport(Struct, frozen=True, kw_only=True):
    """What an export has. `requeued`: jobs that ran, and are queued in it."""

    groups: int
    batches: int
    jobs: int
    requeued: int
    damaged: int
    digest: str


@example(
    "titan export --output titan.ndjson",
    "titan export --redis-url redis://old:6379/0 | titan import - --redis-url redis://new:6379/0",
    "titan export --digest",
)
@click.command(cls=TitanCommand)
@store_options
@option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write, as FILE.part until it is whole. Without it the export goes to stdout.",
)
@option("--fresh", is_flag=True, help="Do not continue a FILE.part that exists: begin again.")
@option("--digest", is_flag=True, help="Write no jobs: only count them, and print their digest.")
@json_option
@click.pass_context
def export(
    context: click.Context, /, *, output: Path | None, fresh: bool, digest: bool, as_json: bool, **_: object
) -> None:
    """Write all groups and jobs of a store as NDJSON, as a backup and for `titan import`.

    An export that is cut off continues when the same command is run again. Running jobs are exported as queued, at
    their rank: where they are imported they run again. The export has no logs: copy the log store. The last line
    has the numbers of groups and jobs, and a digest that is the same for the same jobs in any store. Exit code 1 when
    jobs are damaged, which `titan check` names.
    """
    if output is None and not digest and is_terminal():
        raise click.UsageError("The export would go to this terminal: give --output FILE, or redirect it.", ctx=context)
    if output is not None and digest:
        raise click.UsageError("Give --output or --digest.", ctx=context)
    report = run(_export(context, None if digest else ExportFile(output), is_fresh=fresh))
    is_remark = output is None and not digest  # stdout has the export
    if as_json and not is_remark:
        show_json(report)
    else:
        for text in _sentences(report):
            click.echo(text, err=is_remark)
    context.exit(1 if report.damaged else 0)


async def _export(context: click.Context, output: ExportFile | None, *, is_fresh: bool) -> ExportReport:
    async with existing_store(context) as store:
        await store.verify()
        if await store.transfer.brokers():
            click.echo(_LIVE, err=True)
        export_ = _Export(store.transfer, output)
        try:
            begin = _begin(store, await store.layout() or WRITES[-1], await store.order.show())
            if output is not None and export_.begin(begin, is_fresh=is_fresh):
                click.echo(f"Continuing {output.part}, which has {counted(export_.digest.jobs, 'job')}.", err=True)
            with progress(await store.transfer.jobs(), "Exporting", is_wanted=True) as bar:
                await export_.go(bar)
        except OSError as error:
            raise StartFailed(f"The export cannot be written: {error.strerror}.") from error
        finally:
            if output is not None:
                output.close()
        return export_.report()


class _Export:
    """One run of an export. Without an output it only counts."""

    def __init__(self, transfer: Transfer, output: ExportFile | None) -> None:
        self.digest = Digest()
        self._position = BEGINNING
        self._requeued = 0
        self._damaged = 0
        self._transfer = transfer
        self._output = output

    def begin(self, made: Begin, *, is_fresh: bool) -> bool:
        """Write the first line, or continue a file that was cut off: True then. Raises StartFailed, OSError."""
        if self._output is None:
            return False
        part = self._output.part
        found = unfinished(part) if part and not is_fresh else None
        if found is None:
            self._output.open(is_new=True)
            self._output.write([begin_line(made)])
            return False
        if _store_in(found.begin) != _store_in(made):
            raise StartFailed(f"{part} was begun with another store: give --fresh, or another --output.")
        self.digest, self._position = found.digest, found.position
        self._output.open(is_new=False)
        return True

    async def go(self, bar: Progress) -> None:
        """Write all groups and jobs, and the last line."""
        bar.update(self.digest.jobs)
        async for piece in self._transfer.export(self._position):
            self._take(piece)
            bar.update(len(piece.jobs))
        if self._output is not None:
            self._output.write([encoded(end=self.digest.end())])
            self._output.finish()

    def _take(self, piece: Exported) -> None:
        lines = [*([piece.group] if piece.group else []), *piece.batches, *piece.jobs]
        for line in lines:
            self.digest.add(line, is_group=line is piece.group, is_batch=bool(piece.batches) and line in piece.batches)
        for group, job_id in piece.damaged:
            click.echo(f"{job_id} of {group} is damaged and left out: run titan check.", err=True)
        self._requeued += piece.requeued
        self._damaged += len(piece.damaged)
        if self._output is not None:
            self._output.write(lines)

    def report(self) -> ExportReport:
        end = self.digest.end()
        return ExportReport(
            groups=end.groups,
            batches=end.batches,
            jobs=end.jobs,
            requeued=self._requeued,
            damaged=self._damaged,
            digest=end.digest,
        )


def _store_in(begin: Begin) -> tuple[str, int, int]:
    return begin.key_prefix, begin.partitions, begin.layout


def _begin(store: JobStore, layout: int, order: OrderName) -> Begin:
    return Begin(
        format=FORMAT,
        layout=layout,
        id=secrets.token_hex(8),
        version=own_version(),
        created_at=rfc3339(time.time_ns() // 1_000_000),
        key_prefix=store.settings.key_prefix,
        partitions=len(store.partitions),
        order=UNSET if order == "fifo" else order,
    )


def _sentences(report: ExportReport) -> list[str]:
    batches = f"{counted(report.batches, 'batch')}, " if report.batches else ""
    sentences = [f"{counted(report.groups, 'group')}, {batches}{counted(report.jobs, 'job')}, digest {report.digest}"]
    if report.requeued:
        verb = "runs; it is" if report.requeued == 1 else "run; they are"
        sentences.append(
            f"{counted(report.requeued, 'job')} {verb} exported as queued, and will run again where imported."
        )
    if report.damaged:
        sentences.append(f"{counted(report.damaged, 'job')} damaged and left out.")
    return sentences
