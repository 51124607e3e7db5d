"""What a step of settle.lua did, counted."""

from collections.abc import Sequence
from typing import Any

from broker.store.format.replies import Unsettled
from broker.store.tally import Tally

SETTLED = 100
"""Ends of jobs, and jobs that wait for them, that one step settles at most."""


def count_settled(tally: Tally, reply: Sequence[Any]) -> Unsettled:
    """Count what a step of settle.lua cancelled and ended, from its reply. Returns the ends that it left."""
    left, age_ms, ended, callbacks, *words = reply
    tally.batches["ended"] += ended
    tally.batches["callbacks"] += callbacks
    for group, number in zip(words[::2], words[1::2], strict=True):
        tally.cancelled(group.decode(), number)
    return Unsettled(left, age_ms)
