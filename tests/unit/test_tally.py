"""The tally: what it counts of the replies of scripts, and the sample of times that it takes."""

import pytest

from broker.store.format.job_json import dispatched_jobs
from broker.store.group_counts import BOUNDS_MS, FAILED, IN, OUT, RETRIED, SUCCEEDED, TAKEN, GroupCounts
from broker.store.statistics import percentile
from broker.store.tally import MOST_GROUPS, Tally

NOW = 1_795_461_794_165


def ran(ms: int, status: str = "succeeded") -> bytes:
    """The execution of a job that ran so long."""
    return f"abc-17 1 {NOW} {status} {NOW + ms}".encode()


def test_finished_counts_each_kind_of_item() -> None:
    """Repeats and refusals are not counted, retries are; each part of a call counts in its group."""
    words = ["mail", "succeeded", 3, 2, *"abcdef", "post", "failed", 3, 6, *range(18)]
    tally = Tally()
    tally.finished(words, [[ran(200)], 0, 1, b"NOT_FOUND There is no such job.", 2, [ran(70, "failed"), 1]])
    mail, post = tally.of("mail"), tally.of("post")
    assert (mail.counts[SUCCEEDED], mail.counts[FAILED], mail.counts[IN]) == (2, 0, 0)
    assert (post.counts[FAILED], post.counts[RETRIED], post.counts[IN]) == (2, 2, 2)
    assert mail.runs is not None
    assert (mail.runs[BOUNDS_MS.index(250)], mail.runs[TAKEN]) == (1, 1)


def test_finished_of_a_large_call_is_sampled() -> None:
    """Of 100 items every seventh has a time, and it stands for seven jobs."""
    reply = [[ran(1)] if i % 7 == 0 else 1 for i in range(100)]
    tally = Tally()
    tally.finished(["mail", "succeeded", 60, 2, *range(120), "post", "succeeded", 40, 2, *range(80)], reply)
    counts = [tally.of(group) for group in ("mail", "post")]
    assert [each.counts[SUCCEEDED] for each in counts] == [60, 40]
    assert [each.runs and (each.runs[0], each.runs[TAKEN]) for each in counts] == [(63, 9), (42, 6)]


def test_finished_with_jobs_counts_the_same() -> None:
    """A row of eight words is a job that was finished now; a repeat has one more, and so has a job that was copied."""
    row = [b"record", b"failed", ran(30, "failed"), None, None, b"new id", None, None]
    copied = [b"record", b"failed", ran(30, "failed"), *[None] * 5, b"dead"]
    tally = Tally()
    tally.finished_with_jobs(["mail", "failed", 4, 6, *range(24)], [row, [*row, 1], copied, b"LEASE_LOST x"])
    counts = tally.of("mail")
    assert (counts.counts[FAILED], counts.counts[RETRIED], tally.of("dead").counts[IN]) == (2, 1, 1)
    assert tally.dead_letters == 1
    assert counts.runs is not None
    assert sum(counts.runs[:TAKEN]) == 2


def test_copies_come_into_another_group() -> None:
    """A job that failed for good counts once, also where it is in the sample; its copy in the group that has it."""
    reply: list[object] = [[ran(1, "failed"), b"dead"] if i % 3 == 0 else 2 if i == 1 else 1 for i in range(32)]
    tally = Tally()
    tally.finished(["mail", "failed", 32, 6, *range(192)], reply)
    counts, dead = tally.of("mail").counts, tally.of("dead").counts
    assert (counts[FAILED], counts[RETRIED], counts[IN]) == (32, 1, 1)
    assert (dead[IN], tally.dead_letters) == (11, 11)


@pytest.mark.parametrize(("ages_ms", "taken"), [([900] * 40, [900]), (list(range(40)), list(range(0, 40, 3)))])
def test_next_takes_a_sample_of_waits(ages_ms: list[int], taken: list[int]) -> None:
    """Jobs that were created together have one wait, which counts for all; of others every third is taken."""
    words = [word for age in ages_ms for word in (b"i" * 16, b"17", f'mail {NOW - age} {{"image":"i"}}'.encode(), 1)]
    tally, expected = Tally(), GroupCounts()
    dispatched_jobs([NOW, [b"mail", None, *words]], "abc", None, 0, tally)
    for ms in taken:
        expected.wait(ms, 40 if len(taken) == 1 else 3)
    assert (tally.of("mail").counts[OUT], tally.of("mail").waits) == (40, expected.waits)


def test_busy_group_has_fewer_times() -> None:
    """With many times since the last flush, one job in eight is taken, four of a call at most."""
    row = [b"record", b"succeeded", ran(30), None, None, None, None, None]
    tally = Tally()
    taken = []
    for n in (*[16] * 62, 8, 24, 80, 1):  # 62 * 16 + 8 times: as many as fill it
        before = tally.of("mail").runs
        first = before[TAKEN] if before else 0
        tally.finished_with_jobs(["mail", "succeeded", n, 2, *range(2 * n)], [row] * n)
        runs = tally.of("mail").runs
        assert runs is not None
        taken.append(runs[TAKEN] - first)
    assert taken[-5:] == [16, 8, 3, 4, 1]
    assert sum(runs[:TAKEN]) == tally.of("mail").counts[SUCCEEDED] == 62 * 16 + 8 + 24 + 80 + 1
    tally.finished(["mail", "succeeded", 96, 2, *range(192)], [[ran(1)] if i % 6 == 0 else 1 for i in range(96)])
    assert (runs[0], sum(runs[:TAKEN])) == (4 * 24, tally.of("mail").counts[SUCCEEDED])


def test_next_counts_the_wait_since_the_delay_ended() -> None:
    """A delay is no wait, and a second delivery has none that is known."""
    record = f'{{"delay":5}} mail {NOW - 5040} {{"image":"i"}}'.encode()
    tally = Tally()
    dispatched_jobs([NOW, [b"mail", None, b"i" * 16, b"17", record, 1]], "abc", None, 0, tally)
    dispatched_jobs([NOW, [b"mail", None, b"i" * 16, b"17", record, 2]], "abc", None, 0, tally)
    waits = tally.of("mail").waits
    assert waits is not None
    assert (waits[BOUNDS_MS.index(50)], sum(waits[:TAKEN])) == (1, 1)


def test_too_many_groups_count_in_the_totals() -> None:
    """The memory of a broker is bounded: beyond MOST_GROUPS all count together."""
    tally = Tally()
    for number in range(MOST_GROUPS + 5):
        tally.enqueued(f"g{number}", 1)
    assert len(tally.groups) == MOST_GROUPS + 1
    assert tally.groups[""].counts[IN] == 5


@pytest.mark.parametrize(
    ("histogram", "part", "seconds"),
    [({250: 10}, 0.5, 0.175), ({250: 10}, 1, 0.25), ({5: 99, 10_000: 1}, 0.99, 0.005), ({None: 3}, 0.5, 86_400)],
)
def test_percentile(histogram: dict[int | None, int], part: float, seconds: float) -> None:
    """A percentile lies in its bucket, by how many of its jobs are below; the last bucket has only a lower bound."""
    buckets = [histogram.get(bound, 0) for bound in (*BOUNDS_MS, None)]
    assert percentile(buckets, part) == seconds
