"""The screen of `titan top`, made with textual: groups, the jobs of a group, the log of a job."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Input, RichLog, Static

from broker.cli.moments import age
from broker.cli.safe_text import TerminalText, line
from broker.cli.table import STATUS_STYLES
from broker.cli.top_rows import COLUMNS, SORTS, row_of, summary_of
from broker.core.errors import NotFound, TitanError
from broker.models.groups import GroupChanges
from broker.models.jobs import Job
from broker.models.overview import Sort
from worker.client import Client

EVERY_S = 2.0
"""How often the screen is read again, in s."""
_JOBS, _LINES = 200, 500
_JOB_COLUMNS = ("id", "status", "image", "age", "runs", "reason")


class TopScreen(App[None]):
    """All groups; Enter opens its jobs and then a log, Escape closes them."""

    CSS = "#filter { display: none } #filter.open { display: block } DataTable, RichLog { height: 1fr }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("s", "sort", "Sort"),
        ("slash", "filter", "Filter"),
        ("p", "pause", "Pause"),
        ("c", "cancel", "Cancel"),
        ("escape", "back", "Back"),
        ("q", "quit", "Quit"),
    ]

    def __init__(self, client: Client, sort: Sort, n: int, part: str = "") -> None:
        super().__init__()
        self._client = client
        self._sort = sort
        self._n = n
        self._word = part
        self._group = ""
        self._job = ""
        self._paused: set[str] = set()

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Static(id="summary", markup=False)
        yield Input(placeholder="Part of a name", id="filter")
        table: DataTable[Text | str] = DataTable(id="table", cursor_type="row", zebra_stripes=True)
        yield table
        yield RichLog(id="log", max_lines=_LINES, wrap=True)
        yield Static(id="note", markup=False)
        yield Footer()

    async def on_mount(self) -> None:
        """Begin."""
        self.query_one("#log").display = False
        await self.read()
        self._table.focus()
        self.set_interval(EVERY_S, self.read)

    @property
    def _table(self) -> DataTable[Text | str]:
        return self.query_one("#table", DataTable)

    async def read(self) -> None:
        """Read what the screen shows. While the broker is away the old rows stay, with a line about it."""
        try:
            if self._job:
                await self._show_log()
            elif self._group:
                await self._show_jobs()
            else:
                await self._show_groups()
            self._note("")
        except TitanError as error:
            self._note(error.message)

    async def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a group, or a job."""
        key = event.row_key.value or ""
        if self._group:
            self._job = key
        else:
            self._group, self._word = key, ""
        await self._turn()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Filter by what was typed."""
        self._word = event.value
        self.query_one("#filter").remove_class("open")
        self._table.focus()
        await self.read()

    async def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        await self.read()

    def action_filter(self) -> None:
        """Ask for a part of a name."""
        found = self.query_one("#filter", Input)
        found.add_class("open")
        found.focus()

    async def action_back(self) -> None:
        """Close the filter, the log or the group."""
        found = self.query_one("#filter", Input)
        if found.has_class("open"):
            found.value = ""
            found.remove_class("open")
            self._table.focus()
            self._word = ""
        elif self._job:
            self._job = ""
        else:
            self._group = ""
        await self._turn()

    async def action_pause(self) -> None:
        """Pause the group, or resume it."""
        group = self._group or self._chosen()
        if group:
            await self._do(self._client.adjust(group, GroupChanges(paused=group not in self._paused)))

    async def action_cancel(self) -> None:
        """Cancel the job."""
        job_id = self._job or (self._chosen() if self._group else "")
        if job_id:
            await self._do(self._client.cancel(self._group, job_id))

    async def _do(self, call: object) -> None:
        try:
            await call  # type: ignore[misc]
        except TitanError as error:
            self._note(error.message)
        else:
            await self.read()

    async def _turn(self) -> None:
        """Show another part."""
        self.query_one("#log").display = bool(self._job)
        self._table.display = not self._job
        self.query_one("#log", RichLog).clear()
        self._table.clear(columns=True)
        await self.read()

    async def _show_groups(self) -> None:
        found = await self._client.overview(self._sort, self._n, self._word)
        self._paused = {group.name for group in found.groups if group.settings.paused}
        self._summary(f"{summary_of(found)} · by {self._sort}")
        rows = [(group.name, [line(cell) for cell in row_of(group)]) for group in found.groups]
        self._fill([column.name for column in COLUMNS], rows)

    async def _show_jobs(self) -> None:
        jobs, _ = await self._client.list(self._group, _JOBS, newest_first=True)
        chosen = [job for job in jobs if self._word in f"{job.id} {job.status} {job.image}"]
        self._summary(f"{self._group}: the last {len(chosen):,} jobs")
        self._fill(_JOB_COLUMNS, [(job.id, _cells(job)) for job in chosen])

    async def _show_log(self) -> None:
        job = await self._client.show(self._group, self._job)
        self._summary(f"{self._group} {job.id}: {job.status}" + (f", {job.reason}" if job.reason else ""))
        try:
            pieces = [piece async for piece in self._client.read_log(self._group, self._job, tail=_LINES)]
        except NotFound:
            pieces = [b"There is no log yet."]
        log = self.query_one("#log", RichLog)
        log.clear()
        log.write(Text(_safe(b"".join(pieces))))

    def _fill(self, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str | Text]]]) -> None:
        """Show rows, and keep the cursor at its row."""
        table, before = self._table, self._chosen()
        if not table.columns:
            table.add_columns(*columns)
        table.clear()
        for key, cells in rows:
            table.add_row(*cells, key=key)
        if before in (keys := [key for key, _ in rows]):
            table.move_cursor(row=keys.index(before))

    def _chosen(self) -> str:
        """The key of the row with the cursor; '' without a row."""
        table = self._table
        if not table.row_count or not table.is_valid_coordinate(table.cursor_coordinate):
            return ""
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or ""

    def _summary(self, text: str) -> None:
        self.query_one("#summary", Static).update(line(text))

    def _note(self, text: str) -> None:
        self.query_one("#note", Static).update(line(text))


def _cells(job: Job) -> list[str | Text]:
    status = Text(job.status, style=STATUS_STYLES.get(job.status, ""))
    deliveries = str(job.deliveries or "")
    return [job.id, status, line(job.image), age(job.created_at), deliveries, line(job.reason or "")]


def _safe(content: bytes) -> str:
    safe = TerminalText()
    return f"{safe.feed(content)}{safe.feed(b'', last=True)}"
