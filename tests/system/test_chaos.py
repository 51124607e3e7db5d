"""The books of a chaos run: each promise that is broken shows in its own figure."""

from pathlib import Path
from typing import Any

import pytest

from tests.system.chaos.__main__ import ZERO
from tests.system.chaos.ledger import Delivery, Ledger
from tests.system.chaos.overdue import Overdue
from tests.system.chaos.scene import Scene

AT = 1_795_461_794_000


@pytest.fixture
def ledger() -> Ledger:
    """One batch of two jobs that was acknowledged, handed out and finished."""
    ledger = Ledger()
    ledger.sent["b"] = 2
    ledger.acknowledged["b"] = ["1", "2"]
    for job_id in ("1", "2"):
        taken = delivery(job_id, 1, 0)
        ledger.deliveries[job_id].append(taken)
        ledger.reported(taken, 200)
    return ledger


def delivery(job_id: str, number: int, at_s: float) -> Delivery:
    at = AT + round(at_s * 1000)
    return Delivery(job_id, f"lease-{number}", number, at, at + 2000)


def kept(*payloads: str, status: str = "succeeded") -> list[dict[str, Any]]:
    return [{"id": str(number), "payload": text, "status": status} for number, text in enumerate(payloads, 1)]


def broken(ledger: Ledger, jobs: list[dict[str, Any]]) -> set[str]:
    """The figures that should be 0 and are not."""
    figures = ledger.judge(jobs)
    return {name for name in ZERO if figures.get(name)}


def test_books_of_a_good_run(ledger: Ledger) -> None:
    """Where every job was finished once, every figure is 0; an enqueue that was never answered may be there or not."""
    ledger.sent["unknown"] = 1
    assert broken(ledger, kept("b.0", "b.1")) == set()
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
    assert broken(ledger, jobs) == figures


def test_books_of_two_holders(ledger: Ledger) -> None:
    """A job handed out before the lease of the delivery before had ended is a double; after it, it has a lag."""
    ledger.deliveries["1"].append(delivery("1", 2, 1.9))
    assert broken(ledger, kept("b.0", "b.1")) == {"double"}
    ledger.deliveries["1"][-1] = delivery("1", 2, 2.5)
    figures = ledger.judge(kept("b.0", "b.1"))
    assert (figures["double"], figures["redelivery lag max s"]) == (0, 0.5)


def test_books_of_a_delivery_that_nobody_saw(ledger: Ledger) -> None:
    """Where an answer was lost, the lease that nobody knew of is counted as such, and is no lag of the reaper."""
    ledger.deliveries["1"].append(delivery("1", 3, 6.5))
    figures = ledger.judge(kept("b.0", "b.1"))
    assert (figures["unseen deliveries"], figures["redelivered"], figures["redelivery lag max s"]) == (1, 0, None)


def test_overdue_leases(tmp_path: Path) -> None:
    """A lease is overdue from its end on, or from when the store could write again: until then nobody could help it."""
    overdue = Overdue(Scene(tmp_path))
    for now, ends, is_able, longest_s in [
        (1000, None, True, 0),
        (2000, 2500, True, 0),
        (2700, 2500, True, 0.2),
        (0, None, False, 0.2),
        (9000, 2500, True, 0.2),
        (9500, 2500, True, 0.5),
    ]:
        overdue.saw(now, ends, is_able=is_able)
        assert overdue.longest_s == longest_s


def test_books_of_a_stale_report(ledger: Ledger) -> None:
    """A report of a delivery that another one followed is stale; taken all the same, the job is finished twice."""
    ledger.deliveries["1"].append(delivery("1", 2, 2.5))
    ledger.reported(delivery("1", 1, 0), 409)
    figures = ledger.judge(kept("b.0", "b.1"))
    assert (figures["stale reports"], figures["stale reports refused"]) == (1, 1)
    ledger.reported(delivery("1", 2, 2.5), 200)
    assert broken(ledger, kept("b.0", "b.1")) == {"finished twice"}
