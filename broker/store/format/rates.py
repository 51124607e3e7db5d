"""The rate_limit of a group as the store has it: `jobs`, or `jobs/per/burst`, which lua/lib/rate_limit.lua reads."""

from broker.models.groups import JobRate
from broker.store.format.prose_times import span


def rate_text(rate: int | JobRate) -> str:
    """The text of the store."""
    return str(rate) if isinstance(rate, int) else f"{rate.jobs}/{rate.per}/{rate.burst or rate.jobs}"


def rate_in_words(rate: int | JobRate) -> str:
    """A rate in words: `6 a second`, or `5,000 in 1 h, 50 at once`."""
    if isinstance(rate, int):
        return f"{rate:,} a second"
    return f"{rate.jobs:,} in {span(rate.per)}, {rate.burst or rate.jobs:,} at once"


def rate_in(text: str) -> int | JobRate:
    """The rate_limit in a text of the store."""
    numbers = [int(number) for number in text.split("/")]
    return JobRate(*numbers) if len(numbers) > 1 else numbers[0]
