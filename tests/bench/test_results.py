"""Results of a measurement: medians, tables and the budget."""

from collections.abc import Iterator

import pytest

from broker.bench.capacity import LIVES, memory, sizes
from broker.bench.results import Profile, Report, Result, StoreCommand, medians
from broker.bench.tables import markdown, tables
from broker.bench.workloads import steps
from tests.bench.budget import WORKS, Budget, Cost, overruns, read


def result(**figures: float) -> Result:
    """A result of one step."""
    return Result(work="W1", what="enqueue", jobs=10, **figures)


def report(*results: Result) -> Report:
    """A report with these results."""
    return Report(machine="2 cores", software="titan 1", results=list(results))


def test_medians_over_rounds() -> None:
    """Several rounds give medians, the lowest and the highest rate, and the sum of refusals."""
    rounds = [result(jobs_per_s=rate, front_us=rate / 10, refused=1) for rate in (300.0, 100.0, 500.0)]
    [median] = medians(rounds)
    assert (median.jobs_per_s, median.low_per_s, median.high_per_s, median.front_us) == (300, 100, 500, 30)
    assert (median.jobs, median.refused, median.rounds, median.store_us) == (30, 3, 3, None)


def test_medians_keep_works_apart() -> None:
    """Each step has its own row, in the order of the first round."""
    one, other = result(jobs_per_s=1.0), Result(work="W2", what="enqueue", jobs=1, jobs_per_s=2.0)
    assert [row.work for row in medians([one, other, one, other])] == ["W1", "W2"]


def test_table_without_empty_columns() -> None:
    """Empty columns are left out; rates have three significant digits."""
    [[head, row]] = tables(report(result(jobs_per_s=12_345.6, p50_ms=1.5, store_us=7.25)))
    assert dict(zip(head, row, strict=True)) == {
        "work": "W1",
        "what": "enqueue",
        "jobs/s": "12,300",
        "p50 ms": "1.50",
        "store µs/job": "7.2",
        "refused": "0",
    }


def test_markdown_has_all_tables() -> None:
    """The Markdown has the machine, the results and the profile."""
    profile = Profile(
        verb="next", jobs=10, jobs_per_run=100, us_per_job=6.54, commands=[StoreCommand(name="hset", per_job=1, us=2)]
    )
    lines = list(markdown(Report(machine="2 cores", software="titan 1", results=[result()], profiles=[profile])))
    assert lines[0] == "2 cores; titan 1."
    assert "| W1 | enqueue | 0 |" in lines
    assert lines[-1] == "| next | 100 | 6.5 | hset 1.000 x 2.00 |"


def test_sizes_from_cpu() -> None:
    """Cores are the rate times the cost of a job from enqueue to deletion; servers are at most 60 % busy."""
    life = (
        "enqueue 1 a call, 32 connections",
        "next 1, a success each, 32 connections",
        "the reaper deletes finished jobs",
    )
    costs = ((35.0, 8.0), (34.0, 8.0), (1.0, 4.0))
    results = [Result(what=what, jobs=1, front_us=us[0], store_us=us[1]) for what, us in zip(life, costs, strict=True)]
    rows = [(s.jobs_per_s, round(s.front_cores, 3), s.brokers, s.store_cores, s.store_servers) for s in sizes(results)]
    assert rows == [(1000, 0.07, 1, 0.02, 1), (10_000, 0.7, 2, 0.2, 1), (100_000, 7, 12, 2, 4)]


def test_sizes_need_all_figures() -> None:
    """A size needs the costs of all steps."""
    assert list(sizes([Result(what="enqueue 1 a call, 32 connections", jobs=1, front_us=1.0, store_us=1.0)])) == []


@pytest.fixture
def budget() -> Budget:
    """A budget of 10 µs and 400 B."""
    return Budget("a machine", 10.0, [Cost(work="W1", what="enqueue", cpu_us=10, bytes_per_job=400)])


@pytest.mark.parametrize(
    ("figures", "faults"),
    [
        ({"front_us": 5.0, "store_us": 5.0, "bytes_per_job": 400.0}, []),
        ({"front_us": 10.0, "store_us": 10.0, "bytes_per_job": 800.0}, []),
        ({"front_us": 15.1, "store_us": 5.0, "bytes_per_job": 400.0}, ["20.1 µs of CPU a job"]),
        ({"front_us": 5.0, "store_us": 5.0, "bytes_per_job": 801.0}, ["801.0 B a job"]),
        ({"front_us": 5.0, "bytes_per_job": 400.0}, ["nothing"]),
    ],
)
def test_budget_overruns(budget: Budget, figures: dict[str, float], faults: list[str]) -> None:
    """A cost above twice the budget is an error, and so is a cost that was not measured."""
    found = list(overruns(report(result(jobs_per_s=1.0, **figures)), budget))
    assert len(found) == len(faults)
    assert all(part in line for part, line in zip(faults, found, strict=True))


def test_budget_on_a_slower_machine(budget: Budget) -> None:
    """On a slower machine more CPU is allowed, in proportion, but not more bytes; on a faster one less CPU."""
    figures = {"jobs_per_s": 1.0, "front_us": 25.0, "store_us": 5.0, "bytes_per_job": 801.0}
    [only] = overruns(report(result(**figures)), budget, budget.slowness(15.0))
    assert "801.0 B" in only
    assert len(list(overruns(report(result(**figures)), budget, budget.slowness(14.9)))) == 2
    assert budget.slowness(5.0) == 0.5


def test_budget_of_what_was_not_measured(budget: Budget) -> None:
    """A cost in the budget without a measurement is an error."""
    assert [line for line in overruns(report(), budget) if "not measured" in line]


def test_budget_names_the_steps() -> None:
    """The saved budget has a cost for each step of its workloads, and for no other."""

    def names() -> Iterator[tuple[str, str]]:
        return ((step.work, step.what) for step in steps(1000) if step.work in WORKS)

    assert [(cost.work, cost.what) for cost in read().costs] == list(names())


def test_memory_of_what_is_kept() -> None:
    """Memory is the rate times the retention times the bytes of a finished job."""
    [step] = [step for step in steps(1000) if step.what == "memory of a finished job, payload 100 B"]
    rows = list(memory([Result(what=step.what, jobs=1, bytes_per_job=500.0)]))
    assert rows[0] == ("1,000", "0.3 GB", "1.8 GB", "43.2 GB")
    assert [row[0] for row in rows] == ["1,000", "10,000", "100,000"]


def test_sizes_are_of_steps() -> None:
    """Every step that a size needs exists."""
    measured = [Result(what=step.what, jobs=1, front_us=1.0, store_us=1.0) for step in steps(1000)]
    assert len({size.how for size in sizes(measured)}) == len(LIVES)
