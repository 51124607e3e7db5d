"""Figures and the bounds that they must keep: one line each, and the exit code of a run."""

import statistics
from collections.abc import Sequence


def p50_p95(times_ms: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return statistics.median(times_ms), statistics.quantiles(times_ms, n=20)[-1]


class Verdicts:
    """Collects what is out of its bound."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def at_most(self, what: str, value: float, bound: float, unit: str) -> str:
        """Note whether a value is at most its bound; the word for it."""
        return self._note(value <= bound, f"{what}: {value:,.2f} {unit}, at most {bound:g}")

    def at_least(self, what: str, value: float, bound: float, unit: str) -> str:
        """Note whether a value is at least its bound; the word for it."""
        return self._note(value >= bound, f"{what}: {value:,.3f} {unit}, at least {bound:g}")

    def close(self) -> int:
        """Print what missed its bound, and return the exit code: 1 if anything did."""
        print("\nall within their bounds" if not self.missed else "\nout of its bound:")
        for line in self.missed:
            print(f"  {line}")
        return 1 if self.missed else 0

    def _note(self, is_kept: bool, line: str) -> str:
        if not is_kept:
            self.missed.append(line)
        return "ok" if is_kept else "MISSED"
