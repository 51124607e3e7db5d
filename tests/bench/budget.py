"""The budget: CPU and memory that a job may cost. It has no rates, because they depend on the machine."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from broker.bench.results import Report, Result

MARGIN = 2.0
"""A cost above this multiple of the budget fails. Shared machines differ in caches and in load."""

PLACE = Path(__file__).with_name("budget.json")
WORKS = ("W1", "W2", "W3", "W5")


class Cost(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cost of a job in one step: CPU of broker and store together in µs, or memory in bytes."""

    work: str
    what: str
    cpu_us: float | None = None
    bytes_per_job: float | None = None


class Budget(Struct, frozen=True):
    """Costs, the machine of the measurement, and its yardstick in µs."""

    measured_on: str
    yardstick_us: float
    costs: list[Cost]

    def slowness(self, yardstick_us: float) -> float:
        """How much slower this machine is now than the machine of the budget was; 2.0 is half as fast."""
        return yardstick_us / self.yardstick_us


def read() -> Budget:
    """Read the saved budget."""
    return msgspec.json.decode(PLACE.read_bytes(), type=Budget)


def write(report: Report, yardstick_us: float) -> None:
    """Save the results as the budget."""
    costs = [_cost(result) for result in report.results if result.work in WORKS]
    budget = Budget(f"{report.machine}; {report.software}; {report.store}", round(yardstick_us, 1), costs)
    PLACE.write_bytes(msgspec.json.format(msgspec.json.encode(budget), indent=2) + b"\n")


def overruns(report: Report, budget: Budget, slowness: float = 1.0) -> Iterator[str]:
    """A line for each cost that exceeds the budget by more than the margin, or that was not measured.

    `slowness`: the allowed CPU time is multiplied by it.
    """
    measured = {(result.work, result.what): _cost(result) for result in report.results}
    for allowed in budget.costs:
        cost = measured.get((allowed.work, allowed.what))
        name = f"{allowed.work}, {allowed.what}"
        if cost is None:
            yield f"{name}: is in the budget and was not measured"
            continue
        for unit, now, then in (
            ("µs of CPU", cost.cpu_us, allowed.cpu_us),
            ("B", cost.bytes_per_job, allowed.bytes_per_job),
        ):
            most = MARGIN * (slowness if unit != "B" else 1.0)
            if then is not None and (now is None or now > then * most):
                shown = "nothing" if now is None else f"{now:,.1f} {unit} a job"
                yield f"{name}: {shown}, and the budget is {then:,.1f} times {most:.2g}"


def _cost(result: Result) -> Cost:
    spent = (result.front_us, result.store_us)
    cpu_us = None if None in spent else round(sum(us for us in spent if us is not None), 1)
    size = result.bytes_per_job
    return Cost(work=result.work, what=result.what, cpu_us=cpu_us, bytes_per_job=None if size is None else round(size))
