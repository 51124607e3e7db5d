"""How many workers a group needs: what an autoscaler reads."""

from typing import Annotated

from msgspec import Meta, Struct

MOST_WORKERS = 1_000_000
"""The largest number of workers that may be asked for."""


class Scale(Struct, frozen=True, kw_only=True):
    """The answer of scale. Of several groups the numbers are sums, `run_s` is their mean and `oldest_s` the longest."""

    workers: Annotated[int, Meta(description="How many workers are wanted, each for per_worker jobs at a time.")]
    concurrency: Annotated[float, Meta(description="How many jobs should run at a time.")]
    queued: Annotated[int, Meta(description="Jobs that may be taken now.")]
    running: int
    due_soon: Annotated[int, Meta(description="Delayed jobs that are due within ahead_s.")]
    arrival: Annotated[float, Meta(description="New jobs a second, in the last five minutes.")]
    run_s: Annotated[
        float,
        Meta(
            description="How long a job runs on average, in s: in the last 10 to 20 minutes, else in the last hour, "
            "else 1. It is as exact as the buckets of the statistics."
        ),
    ]
    oldest_s: Annotated[float, Meta(description="Since when the oldest queued job is due, in s; 0 if none is queued.")]
    because: Annotated[str, Meta(description="How `workers` was found, in words for people.")]
