"""Ranks in queues, as lua/ has them: rank = (2 - priority) * RANKS + sequence.

In a group with a priority_boost all ranks are those of priority 0, and a priority is a lead of that number.
"""

from collections.abc import Mapping
from types import MappingProxyType

RANKS = 2**51
"""The distance between the ranks of two priorities."""
MOST_LEAD = 2_000_000
"""The lead of priority 2 with the highest priority_boost."""
NO_BOOSTS: Mapping[str, int] = MappingProxyType({})
"""The priority_boost of groups, when none has one."""


def rank_priority(priority: int, boost: int) -> str:
    """The priority from which scripts compute the rank of a new job: with it the formula gives the lead, exactly."""
    return repr(priority * boost / RANKS)


def rank_in_words(rank: int) -> str:
    """A rank as priority and sequence number. With a lead the number is less, and may be below 0."""
    above, sequence = divmod(rank + MOST_LEAD, RANKS)
    return f"priority {2 - above}, sequence {sequence - MOST_LEAD}"
