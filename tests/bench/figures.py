"""Figures of a bench, each with its bar and whether it is met: lines while it runs, or JSON at its end."""

import argparse
import sys
from typing import Literal

import msgspec
from msgspec import Struct

from tests.bench import budget
from tests.bench.yardstick import yardstick_us


class Figure(Struct):
    """One figure. `bar`: the most or the least that `value` may be; `cost_us`: the cost that a ratio comes from."""

    name: str
    value: float
    unit: str
    bar: float
    bar_is: Literal["most", "least"]
    is_met: bool
    cost_us: float | None = None


class Figures:
    """Collects figures. `slowness`: in times of the machine of the budget, for figures that depend on the machine."""

    def __init__(self, slowness: float, *, is_json: bool = False) -> None:
        self.slowness, self.is_json, self.all = slowness, is_json, list[Figure]()

    @classmethod
    def of_this_machine(cls, *, is_json: bool) -> "Figures":
        """Measures how slow the machine is now."""
        figures = cls(budget.read().slowness(yardstick_us()), is_json=is_json)
        figures.note(f"This machine is now {figures.slowness:.2f} times as slow as the machine of the budget.")
        figures.slowness = max(1.0, figures.slowness)
        return figures

    def note(self, line: str) -> None:
        """Print a line that is no figure."""
        if not self.is_json:
            print(line, flush=True)

    def ratio(self, name: str, cost_us: float, to_us: float, bar: float) -> None:
        """A cost, µs, next to another one."""
        self._add(Figure(name, cost_us / to_us, "times", bar, "most", cost_us / to_us <= bar, cost_us))

    def counts(self, name: str, n: float, of: float, bar: float) -> None:
        """A number of instructions a job, next to another one."""
        self.fixed(name, n / of, bar, f"times, {n:,.0f} instructions")

    def value(self, name: str, value: float, bar: float, unit: str) -> None:
        """A figure that depends on the speed of the machine, and so does its bar."""
        self.fixed(name, value, bar * self.slowness, unit)

    def speed(self, name: str, value: float, bar: float, unit: str) -> None:
        """The same of a speed, which must be at least its bar."""
        bar /= self.slowness
        self._add(Figure(name, value, unit, bar, "least", value >= bar))

    def fixed(self, name: str, value: float, bar: float, unit: str) -> None:
        """A figure that does not depend on the machine."""
        self._add(Figure(name, value, unit, bar, "most", value <= bar))

    def close(self) -> int:
        """Print which bars are missed, or everything as JSON; the exit code: 1 if any is."""
        missed = [figure for figure in self.all if not figure.is_met]
        if self.is_json:
            sys.stdout.write(msgspec.json.encode({"slowness": self.slowness, "figures": self.all}).decode() + "\n")
        else:
            self.note("\nall within their bars" if not missed else f"\nbars that are missed: {len(missed)}")
        return 1 if missed else 0

    def _add(self, figure: Figure) -> None:
        self.all.append(figure)
        cost = f"{figure.cost_us:7.2f} µs, " if figure.cost_us is not None else ""
        word = f"{'met' if figure.is_met else 'MISSED'}, at {figure.bar_is} {figure.bar:,.4g}"
        self.note(f"{figure.name:52} {cost}{figure.value:9,.2f} {figure.unit}; {word}")


def parser_of(name: str, text: str, example: str) -> argparse.ArgumentParser:
    """The arguments that all such benches have. `example`: options of a short run."""
    parser = argparse.ArgumentParser(
        f"python -m tests.bench.{name}",
        description=text,
        epilog=f"example: python -m tests.bench.{name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, at the end")
    return parser
