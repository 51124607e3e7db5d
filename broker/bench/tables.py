"""Turns a report into tables, for a terminal or in Markdown."""

from collections.abc import Iterator, Sequence

from broker.bench.capacity import MEMORY_HEAD, SIZING_HEAD, memory, sizes, sizing_cells
from broker.bench.results import Profile, Report, Result

HEAD = (
    "work",
    "what",
    "jobs/s",
    "lowest-highest",
    "p50 ms",
    "p99 ms",
    "front µs/job",
    "store µs/job",
    "client µs/job",
    "B/job",
    "refused",
)
"""The columns of the table. µs/job is CPU time; front is the broker, client is this program."""

PROFILE_HEAD = ("script", "jobs/run", "µs/job", "its commands: times a job x µs each")


def measured_on(report: Report) -> list[str]:
    """Machine, software and store of the measurement."""
    return [text for text in (report.machine, report.software, report.store) if text]


def tables(report: Report) -> list[list[Sequence[str]]]:
    """The tables of a report (results, scripts, sizes, memory), each a header and rows, without empty columns."""
    found = [[HEAD, *map(cells, report.results)]]
    if report.profiles:
        found.append([PROFILE_HEAD, *map(profile_cells, report.profiles)])
    if sized := list(sizes(report.results)):
        found.append([SIZING_HEAD, *map(sizing_cells, sized)])
    if kept := list(memory(report.results)):
        found.append([MEMORY_HEAD, *kept])
    return [_filled(table) for table in found]


def markdown(report: Report) -> Iterator[str]:
    """The tables as lines of Markdown."""
    yield f"{'; '.join(measured_on(report))}."
    for table in tables(report):
        yield ""
        head, *rows = table
        for row in (head, ["---"] * len(head), *rows):
            yield f"| {' | '.join(row)} |"


def cells(result: Result) -> tuple[str, ...]:
    """A result as a row of the table."""
    has_range = result.rounds > 1 and result.low_per_s is not None
    return (
        result.work,
        result.what,
        _rounded(result.jobs_per_s),
        f"{_rounded(result.low_per_s)}-{_rounded(result.high_per_s)}" if has_range else "",
        *(_digits(value, 2) for value in (result.p50_ms, result.p99_ms)),
        *(_digits(value, 1) for value in (result.front_us, result.store_us, result.client_us)),
        _digits(result.bytes_per_job, 0),
        f"{result.refused:,}",
    )


def profile_cells(profile: Profile) -> tuple[str, ...]:
    """A profile as a row of its table."""
    commands = ", ".join(f"{c.name} {_digits(c.per_job, 3)} x {_digits(c.us, 2)}" for c in profile.commands)
    return profile.verb, _digits(profile.jobs_per_run, 0), _digits(profile.us_per_job, 1), commands


def _filled(table: list[tuple[str, ...]]) -> list[Sequence[str]]:
    is_used = [any(row[i] for row in table[1:]) for i in range(len(table[0]))]
    return [[cell for cell, is_shown in zip(row, is_used, strict=True) if is_shown] for row in table]


def _rounded(value: float | None) -> str:
    """Round to three significant digits: 1,234,567 becomes 1,230,000."""
    if value is None:
        return ""
    return f"{round(value, 3 - len(str(int(value)))):,.0f}"


def _digits(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
