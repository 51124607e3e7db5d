"""Why a job, or a group, does not run: the reasons in words and numbers."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from broker.models.fields import Time

WhyCode = Literal[
    "group_paused",
    "at_max_concurrency",
    "rate_limited",
    "group_full",
    "no_worker_asks",
    "no_worker_for_image",
    "out_of_sight",
    "workers_full",
    "workers_quiet",
    "behind_in_group",
    "behind_groups",
    "broker_sheds",
    "not_in_ready",
    "next_up",
    "nothing_queued",
    "waits_for_jobs",
    "waits_for_key",
    "reaper_late",
    "delayed_until",
    "retry_delay",
    "released_until",
    "lease_over",
    "held",
    "must_start",
    "must_end",
    "finished",
    "not_retried",
    "in_batch",
]


class WhyReason(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reason. What does not apply is left out."""

    code: WhyCode
    text: Annotated[str, Meta(description="A sentence for people.")]
    since: Time | UnsetType = UNSET
    until: Time | UnsetType = UNSET
    by: Annotated[str, Meta(description="The name of the token that paused the group.")] = ""
    note: Annotated[str, Meta(description="What that person noted.")] = ""
    n: Annotated[
        int | UnsetType,
        Meta(
            description="How many, as the text says: jobs or groups before it, running jobs, busy slots, workers, "
            "waiting requests, deliveries, or s that nobody asked or that the reaper is late."
        ),
    ] = UNSET
    limit: Annotated[int | UnsetType, Meta(description="How many there may be: of n, or a second.")] = UNSET
    ids: Annotated[
        list[str],
        Meta(description="Up to 10 of the running jobs, those that it waits for, or those with places of its key."),
    ] = []
    images: Annotated[list[str], Meta(description="Up to 10 images that are asked for.")] = []
    worker: Annotated[
        str, Meta(description="The worker that holds the job, if it announced that; or the last one that left.")
    ] = ""
    job: Annotated[str, Meta(description="The job that this one retries or follows, or that retries it.")] = ""
    batch: Annotated[str, Meta(description="The batch that it is a member or a callback of.")] = ""
    status: str = ""
    reason: Annotated[str, Meta(description="The reason of a finished job.")] = ""


class Explanation(Struct, frozen=True, kw_only=True):
    """The answer of why. Of a group it is about the first queued job."""

    verdict: Annotated[str, Meta(description="The first reason, and when the job may be taken, in a sentence.")]
    reasons: Annotated[list[WhyReason], Meta(description="All reasons, the worst first.")]
    now: Annotated[Time, Meta(description="The time of the store.")]
    job: Annotated[str, Meta(description="The job that this is about; none if no job of the group is queued.")] = ""
    ahead: Annotated[
        int | UnsetType,
        Meta(description="How many jobs of its group are before a queued job; of a group how many wait."),
    ] = UNSET
    out_per_s: Annotated[
        float | UnsetType, Meta(description="How many jobs of the group were taken a second, in the last 5 minutes.")
    ] = UNSET
    eta_s: Annotated[
        float | UnsetType, Meta(description="When it is taken at that rate, in s. Left out if it cannot be taken now.")
    ] = UNSET
