"""The last hour of a group, as the sweep estimates it from half hours."""

import pytest

from broker.store.format.glances import glanced
from broker.store.group_counts import IN

HALF_MS = 1_800_000
HALF = 990_000
"""A half hour, by its number since 1970."""


@pytest.mark.parametrize(("part", "expected"), [(0.0, 111), (0.25, 86), (0.999, 11)])
def test_last_hour_takes_what_belongs_to_it(part: float, expected: int) -> None:
    """This half hour and the one before count whole, the one before these in part, and older ones not at all."""
    halves = [b"%d %d 0 0 0 0 0 0 0" % (HALF - back, 10**back) for back in range(4)]
    row = [b"mail", b"1", None, None, None, [], halves]
    [found] = glanced([int((HALF + part) * HALF_MS), None, 0, row]).rows
    assert found.hour[IN] == expected
