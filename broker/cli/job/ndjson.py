"""Splits an NDJSON file into enqueue calls: one NewJob per line, at most 1,000 jobs and 4 MiB per call.

The same file always makes the same calls. So each call can have its own Idempotency-Key, and a file can be sent again
after a failure.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from msgspec.structs import asdict, replace

from broker.core.errors import Invalid, TitanError
from broker.http.request.decoding import decode
from broker.http.request.job_times import PAIRS, with_times
from broker.models.fields import MAX_JOBS
from broker.models.jobs import NewJob

CALL_BYTES = 4 * 1024 * 1024
_LINE_BYTES = 16 * 1024 * 1024
_ITEM = re.compile(r"jobs\[(\d+)\]\.?(.*)", re.DOTALL)


class NdjsonLine(NamedTuple):
    """A job and its line number, from 1."""

    number: int
    job: NewJob
    size_bytes: int


class LineCall(NamedTuple):
    """The jobs of one enqueue call. Numbers count from 1."""

    number: int
    lines: list[NdjsonLine]

    @property
    def jobs(self) -> list[NewJob]:
        """The jobs to send."""
        return [entry.job for entry in self.lines]

    @property
    def size_bytes(self) -> int:
        """The size of these lines in the file."""
        return sum(entry.size_bytes for entry in self.lines)

    def place(self, error: TitanError) -> str:
        """The line and field that caused a refusal of this call, or the call's first and last line."""
        found = _ITEM.fullmatch(error.fields)
        if found and int(found[1]) < len(self.lines):
            line = f"line {self.lines[int(found[1])].number}"
            return f"{line}: {found[2]}" if found[2] else line
        first, last = self.lines[0].number, self.lines[-1].number
        return f"line {first}" if first == last else f"lines {first} to {last}"


def read_calls(file: BinaryIO, defaults: NewJob) -> Iterator[LineCall]:
    """The calls of a file. Fields that a line does not have come from `defaults`.

    Raises Invalid for a line that is no valid job; its `fields` has the line number.
    """
    number, lines, size_bytes = 1, list[NdjsonLine](), 0
    for entry in _lines(file, defaults):
        if lines and (len(lines) == MAX_JOBS or size_bytes + entry.size_bytes > CALL_BYTES):
            yield LineCall(number, lines)
            number, lines, size_bytes = number + 1, [], 0
        lines.append(entry)
        size_bytes += entry.size_bytes
    if lines:
        yield LineCall(number, lines)


def _lines(file: BinaryIO, defaults: NewJob) -> Iterator[NdjsonLine]:
    """The lines with a job; empty lines are skipped."""
    number = 0
    while text := file.readline(_LINE_BYTES + 1):
        number += 1
        if len(text) > _LINE_BYTES:
            raise Invalid(f"The line is longer than {_LINE_BYTES} bytes.", fields=f"line {number}")
        if text.strip():
            yield NdjsonLine(number, _filled(_job(text, number), defaults), len(text))


def _job(text: bytes, number: int) -> NewJob:
    try:
        return with_times(decode(NewJob, text))
    except Invalid as error:
        raise Invalid(error.message, fields=": ".join(filter(None, (f"line {number}", error.fields)))) from None


def _filled(job: NewJob, defaults: NewJob) -> NewJob:
    """The job with the defaults of what it does not have. A span and a time for the same are one field here."""
    has = {name for name, value in asdict(job).items() if value is not None}
    has |= {name for pair in PAIRS if has.intersection(pair) for name in pair}
    missing = {name: value for name, value in asdict(defaults).items() if value is not None and name not in has}
    return replace(job, **missing) if missing else job
