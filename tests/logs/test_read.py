"""Reading and deleting logs, in a folder and in a bucket alike."""

from pathlib import Path

import obstore
import pytest

from broker.core.errors import NotFound, StoreUnavailable
from broker.core.ids import Ids
from broker.logs.storage import Logs, open_logs
from tests.logs.conftest import Place, content, last_lines, pieces

MIB = 1024 * 1024


async def test_read_of_no_log_is_refused(logs: Logs, job_id: str) -> None:
    """A job without a log is not found, before any piece is asked for."""
    with pytest.raises(NotFound, match="no log"):
        await logs.read(job_id)
    with pytest.raises(NotFound, match="no log"):
        await logs.tail(job_id, 3)


async def test_read_breaks_off_when_the_log_is_replaced(logs: Logs, job_id: str) -> None:
    """A reader never gets the beginning of one log and the end of another."""
    await logs.write(job_id, pieces(b"a" * MIB))
    _, stored = await logs.read(job_id)
    assert set(await anext(stored)) == set(b"a")
    await logs.write(job_id, pieces(b"b" * (MIB + 1)))
    with pytest.raises(StoreUnavailable, match="replaced"):
        await anext(stored)


@pytest.mark.parametrize(
    ("log", "lines", "expected"),
    [
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc\n", 3, b"a\nb\nc\n"),
        (b"a\nb\nc\n", 100, b"a\nb\nc\n"),
        (b"a\nb\nc", 1, b"c"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\r\nb\r\nc\r\n", 2, b"b\r\nc\r\n"),
        (b"a\n\n\n", 2, b"\n\n"),
        (b"\n", 1, b"\n"),
        (b"\n\n", 1, b"\n"),
        (b"a", 1, b"a"),
        (b"a\nb", 0, b""),
        (b"", 5, b""),
    ],
)
async def test_tail_gives_the_last_lines(logs: Logs, job_id: str, log: bytes, lines: int, expected: bytes) -> None:
    """A line ends with its newline; the last one may lack it."""
    await logs.write(job_id, pieces(log))
    assert await last_lines(logs, job_id, lines) == expected


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
async def test_tail_reads_a_long_log_backwards(logs: Logs, job_id: str, end: bytes) -> None:
    """Lines over the bounds of blocks are whole, and a line longer than a block as well."""
    lines = [b"%d " % number + b"x" * (number % 7919) for number in range(1500)]
    lines[-3] += b"y" * 700_000
    log = (end or b"\n").join(lines) + end
    await logs.write(job_id, pieces(log))
    for wanted in (1, 2, 3, 200, 1499, 1500, 9999):
        expected = (end or b"\n").join(lines[-wanted:]) + end
        assert await last_lines(logs, job_id, wanted) == expected


async def test_tail_reads_no_more_than_the_end(tmp_path: Path, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a long log costs a block or two, not the log."""
    logs = open_logs(str(tmp_path), 64 * MIB)
    await logs.write(job_id, pieces(b"line\n" * 2 * MIB))
    asked = _count_bytes_read(monkeypatch)
    assert await last_lines(logs, job_id, 2) == b"line\nline\n"
    assert sum(asked) < MIB


async def test_delete_removes_logs(logs: Logs, place: Place) -> None:
    """The logs of the jobs are gone, those of others stay."""
    *gone, kept = Ids().take(5)
    for each in (*gone, kept):
        await logs.write(each, pieces(b"x"))
    await logs.delete(gone)
    assert [await content(logs, each) for each in (*gone, kept)] == [None] * 4 + [b"x"]
    assert not [name for name in place.objects() if any(each in name for each in gone)]


async def test_delete_of_missing_logs_is_fine(logs: Logs) -> None:
    """A log that is not there does not keep the others from being deleted."""
    first, missing, last = Ids().take(3)
    await logs.write(first, pieces(b"x"))
    await logs.write(last, pieces(b"x"))
    await logs.delete([missing, first, missing, last])
    assert await content(logs, first) is None
    assert await content(logs, last) is None
    await logs.delete([missing])
    await logs.delete([])


async def test_delete_takes_more_than_a_batch(logs: Logs) -> None:
    """More logs than the store takes in one call are deleted all the same."""
    many = Ids().take(1100)
    await logs.write(many[0], pieces(b"x"))
    await logs.write(many[-1], pieces(b"x"))
    await logs.delete(many)
    assert [await content(logs, each) for each in (many[0], many[-1])] == [None, None]


def _count_bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked = []
    get_async = obstore.get_async

    async def counting(store, path, *, options):
        begin, end = options["range"]
        asked.append(end - begin)
        return await get_async(store, path, options=options)

    monkeypatch.setattr(obstore, "get_async", counting)
    return asked
