"""The books of a chaos run: each promise that is broken shows in its own figure."""

from typing import Any

import pytest

from broker.core.timestamps import rfc3339
from tests.system.chaos import batch_load, dead_letter_load
from tests.system.chaos.flow_load import judge
from tests.system.chaos.ledger import Delivery, Ledger
from tests.system.chaos.outages import Outages
from tests.system.chaos.overdue import Lateness
from tests.system.chaos.promises import (
    AT_MOST,
    BATCHES,
    BULK,
    DEAD_LETTERS,
    FLOWS,
    LANES,
    SCHEDULES,
    ZERO,
    broken,
    summary,
)
from tests.system.chaos.windows import Loss, Span, Windows

AT = 1_795_461_794_000


@pytest.fixture
def ledger() -> Ledger:
    """One batch of two jobs that was acknowledged, handed out and finished."""
    ledger = Ledger()
    ledger.sent["b"] = 2
    ledger.enqueued("b", ["1", "2"], span(0))
    for job_id in ("1", "2"):
        taken = delivery(job_id, 1, 0)
        ledger.deliveries[job_id].append(taken)
        ledger.reported(taken, 200, span(1))
    return ledger


def span(at_s: float, partition: int = 0) -> Span:
    return Span(partition, AT + at_s * 1000, AT + at_s * 1000 + 10)


def delivery(job_id: str, number: int, at_s: float) -> Delivery:
    at = AT + round(at_s * 1000)
    return Delivery(job_id, f"lease-{number}", number, at, at + 2000)


def kept(*payloads: str, status: str = "succeeded") -> list[dict[str, Any]]:
    return [{"id": str(number), "payload": text, "status": status} for number, text in enumerate(payloads, 1)]


def not_zero(ledger: Ledger, jobs: list[dict[str, Any]], windows: Windows | None = None) -> set[str]:
    """The figures that should be 0 and are not."""
    figures = ledger.judge(jobs, windows)
    return {name.removesuffix(" outside windows") for name in ZERO if figures.get(name)}


def window(before_s: float, after_s: float, partition: int = 0, at_s: float = 0) -> Windows:
    """One fault that may lose what was answered around its time."""
    windows = Windows({"killed": Loss(before_s, after_s)})
    windows.add("killed", [partition], AT + at_s * 1000)
    return windows


def test_books_of_a_good_run(ledger: Ledger) -> None:
    """Where every job was finished once, every figure is 0; an enqueue that was never answered may be there or not."""
    ledger.sent["unknown"] = 1
    assert not_zero(ledger, kept("b.0", "b.1")) == set()
    assert ledger.judge(kept("b.0", "b.1", "unknown.0"))["recovered"] == 1


@pytest.mark.parametrize(
    ("jobs", "figures"),
    [
        (kept("b.0"), {"lost", "torn"}),
        (kept("b.0", "b.1", status="queued"), {"unfinished"}),
        (kept("b.0", "b.1", status="failed"), {"lost"}),
        (kept("b.0", "b.1", "b.1"), {"duplicated"}),
        (kept("b.0", "b.1", "nobody's"), {"unexpected"}),
    ],
)
def test_books_of_a_store_that_lost_something(ledger: Ledger, jobs: list[dict[str, Any]], figures: set[str]) -> None:
    """A job that is not there, not finished, there twice, or from nobody is counted under its own name."""
    assert not_zero(ledger, jobs) == figures


def test_books_of_two_holders(ledger: Ledger) -> None:
    """A job handed out before the lease of the delivery before had ended is a double; after it, it has a lag."""
    ledger.deliveries["1"].append(delivery("1", 2, 1.9))
    assert not_zero(ledger, kept("b.0", "b.1")) == {"double"}
    ledger.deliveries["1"][-1] = delivery("1", 2, 2.5)
    figures = ledger.judge(kept("b.0", "b.1"))
    assert (figures["double"], figures["redelivery lag max s"]) == (0, 0.5)


def test_books_of_a_delivery_that_nobody_saw(ledger: Ledger) -> None:
    """Where an answer was lost, the lease that nobody knew of is counted as such, and is no lag of the reaper."""
    ledger.deliveries["1"].append(delivery("1", 3, 6.5))
    figures = ledger.judge(kept("b.0", "b.1"))
    assert (figures["unseen deliveries"], figures["redelivered"], figures["redelivery lag max s"]) == (1, 0, None)


def test_books_of_a_failure_that_was_forgiven(ledger: Ledger) -> None:
    """After a failure the job may be handed out within the lease; one that counted too often shows."""
    ledger.failed(delivery("1", 1, 0))
    ledger.deliveries["1"].append(delivery("1", 2, 1))
    jobs = kept("b.0", "b.1")
    jobs[0]["attempts"] = 1
    figures = ledger.judge(jobs)
    assert not_zero(ledger, jobs) == set()
    assert (figures["failures reported"], figures["failures forgiven"], figures["redelivered"]) == (1, 1, 0)
    jobs[0]["attempts"] = 2
    assert not_zero(ledger, jobs) == {"failures counted twice"}


def test_overdue_leases() -> None:
    """A lease is overdue from its end on, or from when the store could write again: until then nobody could help it."""
    lateness = Lateness()
    for now, ends, is_able, longest_s in [
        (1000, None, True, 0),
        (2000, 2500, True, 0),
        (2700, 2500, True, 0.2),
        (0, None, False, 0.2),
        (9000, 2500, True, 0.2),
        (9500, 2500, True, 0.5),
    ]:
        lateness.saw(now, ends, is_able=is_able)
        assert lateness.longest_s == longest_s


def test_books_of_a_stale_report(ledger: Ledger) -> None:
    """A report of a delivery that another one followed is stale; taken all the same, the job is finished twice."""
    ledger.deliveries["1"].append(delivery("1", 2, 2.5))
    ledger.reported(delivery("1", 1, 0), 409)
    figures = ledger.judge(kept("b.0", "b.1"))
    assert (figures["stale reports"], figures["stale reports refused"]) == (1, 1)
    ledger.reported(delivery("1", 2, 2.5), 200)
    assert not_zero(ledger, kept("b.0", "b.1")) == {"finished twice"}


@pytest.mark.parametrize(
    ("windows", "figures"),
    [
        (window(1, 0, at_s=0.5), set()),
        (window(1, 4, at_s=-3), set()),
        (window(1, 0, at_s=1.5), {"lost"}),
        (window(1, 0, at_s=-0.5), {"lost"}),
        (window(1, 0, partition=1, at_s=0.5), {"lost"}),
    ],
    ids=["before the fault", "after it", "too early", "too late", "another partition"],
)
def test_books_of_a_loss_and_a_window(ledger: Ledger, windows: Windows, figures: set[str]) -> None:
    """A batch that the store lost is excused inside the window of a fault of its partition, and nowhere else."""
    assert not_zero(ledger, [], windows) == figures
    assert ledger.judge([], windows)["lost"] == 2


def test_books_of_a_failed_job_in_a_window(ledger: Ledger) -> None:
    """No failover makes a job fail: a window excuses only jobs that are gone."""
    assert not_zero(ledger, kept("b.0", "b.1", status="failed"), window(1, 4)) == {"lost"}


def test_books_of_a_double_and_a_window(ledger: Ledger) -> None:
    """Two held a job at once: excused if the first delivery was in a window, which the store may have forgotten."""
    ledger.deliveries["1"].append(delivery("1", 1, 1.9))
    jobs = kept("b.0", "b.1")
    assert not_zero(ledger, jobs, window(0.5, 0.1)) == set()
    assert not_zero(ledger, jobs, window(0.5, 0.1, at_s=1.9)) == {"double"}
    assert ledger.judge(jobs, window(0.5, 0.1))["double"] == 1


def test_books_of_a_job_finished_twice_and_a_window(ledger: Ledger) -> None:
    """A job may be finished again if all its reports but one were in a window."""
    again = delivery("1", 2, 2.5)
    ledger.deliveries["1"].append(again)
    ledger.reported(again, 200, span(3))
    assert not_zero(ledger, kept("b.0", "b.1"), window(1, 0, at_s=1.5)) == set()
    assert not_zero(ledger, kept("b.0", "b.1"), window(1, 0, at_s=9)) == {"finished twice"}


def test_books_of_a_report_after_a_lost_delivery(ledger: Ledger) -> None:
    """A later delivery that the store may have forgotten does not make a report stale; any other one does."""
    ledger.deliveries["1"].append(delivery("1", 2, 2.5))
    ledger.reported(delivery("1", 1, 0), 200, span(9))
    jobs = kept("b.0", "b.1")
    assert not_zero(ledger, jobs, window(1, 0, at_s=2.6)) == set()
    assert not_zero(ledger, jobs, window(1, 0, at_s=5)) == {"stale reports accepted"}


def test_windows_of_an_unknown_fault() -> None:
    """A fault whose loss no table allows has no window."""
    with pytest.raises(KeyError):
        Windows({"killed": Loss(1)}).add("moved", [0])


def test_outages() -> None:
    """An outage is from the first 503 to the next success, for each partition; a refusal does not end it."""
    outages = Outages()
    for status, began in [(201, 0), (503, 1), (503, 2), (0, 4), (200, 5)]:
        outages.answered("a", 0, status, began, began + 0.5)
        outages.answered("a", 1, 201, began, began + 0.5)
    assert outages.closed == []
    for status, began in [(503, 6), (409, 7), (200, 8)]:
        outages.answered("a", 0, status, began, began + 0.5)
    assert (outages.closed, outages.longest_s()) == ([2.5], 2.5)


def test_summary_of_a_run(ledger: Ledger) -> None:
    """One line has the counts; a run that drained nothing, or was away for too long, broke a promise."""
    figures = ledger.judge(kept("b.0"), window(1, 1)) | dict.fromkeys(
        ("bad exits", "findings", *BULK, *FLOWS, *BATCHES, *DEAD_LETTERS, *SCHEDULES, *LANES), 0
    )
    figures |= {"topology": "cluster", "seconds": 60.0, "faults": {"primary killed": 2}, "crashes": [], "drained": True}
    figures |= dict.fromkeys(AT_MOST, 1.5) | {"torn": 0}
    line = "cluster: 60 s, 2 faults, 2 acknowledged, 1 lost (0 outside windows), 0 double, longest 503s 1.5 s"
    assert summary(figures) == line
    assert broken(figures) == []
    assert broken(figures | {"longest 503s s": 9.0, "drained": False}) == ["longest 503s s", "drained"]


def ended(name: str, at_s: float, **fields: str) -> dict[str, Any]:
    """A job that the store has in the end; its id is its payload."""
    at = rfc3339(AT + round(at_s * 1000))
    return {"id": name, "payload": name, "status": "succeeded", "completed_at": at, **fields}


@pytest.mark.parametrize(
    ("last", "more", "broken_one"),
    [
        (3.0, [], ""),
        (2.5, [], "flow jobs early"),
        (3.0, [ended("d.left", 3, id="other")], "flow jobs twice"),
        (3.0, [ended("e.top", 3, status="delayed")], "flow jobs left"),
    ],
)
def test_books_of_flows(last: float, more: list[dict[str, Any]], broken_one: str) -> None:
    """A dependant runs after all of its parents, once, and none is left."""
    starts = {"d.top": 0.0, "d.left": 1.0, "d.right": 1.2, "d.last": last}
    jobs = [ended("d.top", 1), ended("d.left", 2), ended("d.right", 3), ended("d.last", 4)]
    figures = judge(jobs + more, [], set(starts), {name: [delivery(name, 1, at_s)] for name, at_s in starts.items()})
    assert {name for name in FLOWS if figures.get(name)} == {broken_one} - {""}


@pytest.mark.parametrize(("again", "are_early"), [(2.0, 0), (1.9, 1)])
def test_books_of_a_job_that_waits(again: float, are_early: int) -> None:
    """A job that waited for its part runs again after the end of that."""
    jobs = [ended("d.top", 3), ended("d.part", 2)]
    runs = {"d.top": [delivery("d.top", 1, 0), delivery("d.top", 1, again)], "d.part": [delivery("d.part", 1, 1)]}
    assert judge(jobs, [], runs, runs, ["d.top"])["flow jobs early"] == are_early


@pytest.mark.parametrize(("second", "are_overlapping"), [(1.0, False), (0.9, True)])
def test_books_of_unique_keys(second: float, *, are_overlapping: bool) -> None:
    """Jobs of one key run one after the other; those of another key at any time."""
    jobs = [ended("a.1", 1), ended("a.2", 2), ended("b.1", 5), ended("a.3", 0, status="cancelled", reason="replaced")]
    runs = {"a.1": [delivery("a.1", 1, 0)], "a.2": [delivery("a.2", 1, second)], "b.1": [delivery("b.1", 1, 0)]}
    figures = judge([], jobs, runs, runs)
    assert figures["keys run twice"] == are_overlapping
    assert not figures["flow jobs left"]


def batch_in(name: str, succeeded: int, failed: int, **fields: str) -> dict[str, Any]:
    """A batch that the store has in the end; its id is its name."""
    counts = {"total": 2, "over": succeeded + failed, "succeeded": succeeded, "failed": failed, "cancelled": 0}
    return {"id": name, "name": name, "counts": counts, "ended_at": "2026-11-23T19:23:20.000Z", **fields}


def member(batch: str, status: str = "succeeded", callback: str = "", **fields: str) -> dict[str, Any]:
    """A member, or a callback, of a batch."""
    return {"batch": {"id": batch} | ({"callback": callback} if callback else {}), "status": status, **fields}


OVER, FAILED, DONE = (member("b", callback=name) for name in ("on_over", "on_failed", "on_succeeded"))


@pytest.mark.parametrize(
    ("batches", "jobs", "broken_one"),
    [
        ([batch_in("b", 2, 0)], [member("b"), member("b"), OVER, DONE], ""),
        ([batch_in("b", 1, 1)], [member("b"), member("b", "failed"), OVER, FAILED], ""),
        ([batch_in("b", 2, 0)], [member("b"), member("b", "failed", retry_at="x"), member("b"), OVER, DONE], ""),
        ([batch_in("b", 2, 0)], [member("b"), member("b"), OVER, OVER, DONE], "callbacks twice"),
        ([batch_in("b", 2, 0)], [member("b"), member("b"), OVER], "callbacks wrong"),
        ([batch_in("b", 1, 1)], [member("b"), member("b", "failed"), OVER, FAILED, DONE], "callbacks wrong"),
        ([batch_in("b", 2, 0)], [member("b"), OVER, DONE], "batches miscounted"),
        ([], [], "batches left"),
        ([batch_in("b", 2, 0), batch_in("b", 2, 0, id="c")], [], "batches twice"),
    ],
)
def test_books_of_batches(batches: list[dict[str, Any]], jobs: list[dict[str, Any]], broken_one: str) -> None:
    """Each batch ends with the counts of its members, and each callback that is due exists once."""
    figures = batch_load.judge(batches, jobs, {"b"})
    assert ({name for name in BATCHES if figures[name]} or {""}) >= {broken_one}
    assert bool(broken_one) or not any(figures[name] for name in BATCHES)


@pytest.mark.parametrize(
    ("copies", "acknowledged", "broken_one"),
    [
        (["b"], "ab", ""),
        ([], "ab", "dead letters lost"),
        (["b", "b"], "ab", "dead letters twice"),
        (["b", "a"], "ab", "dead letters wrong"),
        (["b", "c"], "ab", "dead letters wrong"),
        (["b"], "abd", "doomed jobs left"),
    ],
)
def test_books_of_dead_letters(copies: list[str], acknowledged: str, broken_one: str) -> None:
    """A job that failed for good has one copy; one that succeeded or was retried has none."""
    jobs = [ended("a", 1), ended("b", 1, status="failed"), ended("c", 1, status="failed", retry_at="a")]
    figures = dead_letter_load.judge(jobs, [{"retry_of": name} for name in copies], acknowledged)
    assert {name for name in DEAD_LETTERS if figures[name]} == {broken_one} - {""}
