"""What a step of settle.lua did, counted."""

from collections.abc import Sequence
from typing import Any

from broker.store.format.replies import Unsettled
from broker.store.tally import Tally

SETTLED = 100
"""Ends of jobs, and jobs that wait for them, that one step settles at most."""


def count_settled(tally: Tally, reply: Sequence[Any]) -> Unsettled:
    """Count the jobs that a step cancelled, from the reply of settle.lua; the ends that it left."""
    left, age_ms, *words = reply
    for group, number in zip(words[::2], words[1::2], strict=True):
        tally.cancelled(group.decode(), number)
    return Unsettled(left, age_ms)
