"""Counts the errors that clients got, by their word."""

from collections import Counter

from broker.metrics.exposition import Family, Sample, counter


class RefusalCounts:
    """Call `observe` once for each error in a response."""

    def __init__(self) -> None:
        self._words: Counter[str] = Counter()

    def observe(self, word: str) -> None:
        """Count one."""
        self._words[word] += 1

    def families(self) -> list[Family]:
        """The number of errors by word."""
        rows = [Sample(n, {"word": word}) for word, n in sorted(self._words.items())]
        return [counter("titan_refusals_total", "Requests that were answered with an error, by its word.", rows)]
