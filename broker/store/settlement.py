"""What a step of settle.lua did, counted."""

from collections.abc import Sequence
from typing import Any

from broker.store.format.maintenance_replies import Unsettled
from broker.store.tally import Tally

SETTLED = 100
"""Ends of jobs, and jobs that wait for them, that one step settles at most."""


def count_settled(tally: Tally, reply: Sequence[Any]) -> Unsettled:
    """Count what a step of settle.lua cancelled, ended and created, from its reply. Returns the ends that it left."""
    left, age_ms, ended, *words = reply
    tally.batches["ended"] += ended
    for group, cancelled, callbacks in zip(words[::3], words[1::3], words[2::3], strict=True):
        tally.cancelled(group.decode(), cancelled)
        tally.called_back(group.decode(), callbacks)
    return Unsettled(left, age_ms)
