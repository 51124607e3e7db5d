"""Times in prose."""

import pytest

from broker.core.timestamps import milliseconds
from broker.store.format.prose_times import clock, distance, span

NOW = milliseconds("2026-11-29T14:00:00.400Z")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((-3, "0.0 s"), (0.44, "0.4 s"), (1, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (90, "1 min 30 s")),
        *((250, "4 min 10 s"), (3600, "1 h"), (3601, "1 h"), (7500, "2 h 5 min"), (86_400, "1 d"), (606_000, "7 d")),
        (266_400, "3 d 2 h"),
    ],
)
def test_span_of_a_time(seconds: float, words: str) -> None:
    """The two largest units; below a second a decimal."""
    assert span(seconds) == words


def test_clock_of_a_day() -> None:
    """Of today the time alone; of another day the date too."""
    assert clock(NOW + 191_000, NOW) == "14:03:11 UTC"
    assert clock(NOW + 86_400_000, NOW) == "2026-11-30 14:00:00 UTC"


def test_distance_of_a_time() -> None:
    """What comes is `in`, what was is `ago`."""
    assert distance(NOW + 191_000, NOW) == "in 3 min 11 s (14:03:11 UTC)"
    assert distance(NOW - 60_000, NOW) == "1 min ago (13:59:00 UTC)"
    assert distance(NOW, NOW) == "0.0 s ago (14:00:00 UTC)"
