"""Which groups are labels of metrics, and what is counted under them."""

from pathlib import Path

import pytest

from broker.metrics.group_labels import MOST, OTHER, GroupLabels
from broker.metrics.prometheus import text
from broker.store import count_flusher
from broker.store.group_counts import GroupCounts
from broker.store.tally import Tally


def test_the_first_groups_are_labels():
    """The first 100 groups that are active keep their names; later ones, and all without counts, are _other."""
    labels = GroupLabels()
    names = [f"g{n}" for n in range(MOST + 5)]
    assert [labels.of(name) for name in names] == [*names[:MOST], *[OTHER] * 5]
    assert labels.of(names[0]) == names[0]
    assert labels.of("") == OTHER


def test_patterns_are_labels():
    """With patterns the label is the first that matches, and all other groups are _other."""
    labels = GroupLabels(["mail", "mail-*"])
    assert [labels.of(name) for name in ("mail", "mail-de", "mails", "sms")] == ["mail", "mail-*", OTHER, OTHER]


def test_processes_share_labels(tmp_path: Path):
    """The processes of one broker have the same labels, whichever of them meets a group first."""
    one, other = (GroupLabels((), tmp_path / "groups") for _ in range(2))
    for n in range(MOST // 2):
        one.of(f"a{n}")
        other.of(f"b{n}")
    assert one.of("late") == other.of("late") == OTHER
    assert one.of("b0") == other.of("b0") == "b0"
    assert other.of(f"a{MOST // 2 - 1}") == f"a{MOST // 2 - 1}"


@pytest.mark.parametrize("patterns", [(), ("ma*",)])
def test_jobs_are_counted_before_and_after_a_flush(patterns: tuple[str, ...]):
    """The same numbers come from counts that are flushed and from those that are not; no job counts twice."""
    tally = Tally()
    tally.totals.labels = GroupLabels(patterns)
    label = "ma*" if patterns else "mail"
    for n in (1, 2):
        tally.enqueued("mail", 10)
        tally.taken("mail", 5, [7, 3000])
        tally.finished(["mail", "failed", 1, 0], [[b"t 1 1000 failed 3000"]])
        tally.lost("mail", 2, 1, 0)
        tally.released("mail", "id")
        tally.cancelled("mail", 1)
        tally.repeated("mail", "manual")
        tally.promoted("mail")
        told = text(tally.totals.families(tally.groups))
        for line in (
            f'titan_jobs_enqueued_total{{group="{label}"}} {11 * n}.0',
            f'titan_jobs_taken_total{{group="{label}"}} {5 * n}.0',
            f'titan_jobs_finished_total{{group="{label}",status="failed"}} {2 * n}.0',
            f'titan_jobs_finished_total{{group="{label}",status="cancelled"}} {n}.0',
            f'titan_jobs_released_total{{group="{label}"}} {n}.0',
            f'titan_jobs_promoted_total{{group="{label}"}} {n}.0',
            f'titan_jobs_retried_total{{group="{label}",how="manual"}} {n}.0',
            f'titan_leases_lost_total{{group="{label}",then="requeued"}} {2 * n}.0',
            f'titan_leases_lost_total{{group="{label}",then="failed"}} {n}.0',
        ):
            assert f"{line}\n" in told
        group = f'group="{label}",' if patterns else ""
        waits = f'{{group="{label}"}}' if patterns else ""
        assert f"titan_job_wait_seconds_count{waits} {2 * n}.0\n" in told
        assert f"titan_job_wait_seconds_sum{waits} {3.007 * n}\n" in told
        assert f'titan_job_run_seconds_sum{{{group}status="failed"}} {2 * n}.0\n' in told
        for name, counts in tally.groups.items():  # as a flush does
            tally.totals.add(name, counts)
        tally.groups = {}
        assert text(tally.totals.families(tally.groups)) == told


def test_sums_of_times_stay_in_the_broker():
    """A flush sends the buckets and how many times were taken; the sum of the times is for /metrics only."""
    counts = GroupCounts()
    counts.wait(7, 3)
    assert count_flusher._buckets(counts.waits) == "1:3 22:1"
