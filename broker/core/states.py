"""The state machine as data: for each verb, the statuses before and after it.

Tests compare README, the script headers and lua/README.md with this table, and try every verb in every status.
"""

from typing import Literal, NamedTuple, get_args

Status = Literal["delayed", "queued", "running", "succeeded", "failed", "cancelled"]

STATUSES: tuple[Status, ...] = get_args(Status)
FINISHED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")


class Move(NamedTuple):
    """One edge of the diagram. `before` is None when the job did not exist, `after` when it is deleted."""

    verb: str
    script: str
    before: Status | None
    after: Status | None
    when: str = ""


MOVES: tuple[Move, ...] = (
    Move("enqueue", "enqueue", None, "delayed", "delay > 0"),
    Move("enqueue", "enqueue", None, "queued", "no delay"),
    Move("enqueue", "admit", None, "delayed", "delay > 0, run_at later, or it waits for jobs or a place of its key"),
    Move("enqueue", "admit", None, "queued", "with a time, no delay; or the jobs in after have ended"),
    Move("enqueue", "admit", "delayed", "delayed", "a new job with its unique key replaces what it is"),
    Move("enqueue", "admit", "queued", "queued", "a new job with its unique key replaces what it is"),
    Move("enqueue", "admit", "delayed", "cancelled", "a new job with its unique key follows in its place"),
    Move("fire", "fire", None, "delayed", "it waits for the job of an earlier fire (overlap queue, queue_all)"),
    Move("fire", "fire", None, "queued", "a schedule is due"),
    Move("fire", "fire", "delayed", "delayed", "a new job with its unique key replaces what it is"),
    Move("fire", "fire", "queued", "queued", "a new job with its unique key replaces what it is"),
    Move(
        "fire",
        "fire",
        "delayed",
        "cancelled",
        "its schedule fires again (overlap cancel), or a job follows in its place",
    ),
    Move("fire", "fire", "queued", "cancelled", "its schedule fires again (overlap cancel)"),
    Move("fire", "fire", "running", "cancelled", "its schedule fires again (overlap cancel)"),
    Move("restore", "restore", None, "delayed", "it was exported so"),
    Move("restore", "restore", None, "queued", "it was exported so, or while it ran"),
    Move("restore", "restore", None, "succeeded", "it was exported so"),
    Move("restore", "restore", None, "failed", "it was exported so"),
    Move("restore", "restore", None, "cancelled", "it was exported so"),
    Move("next", "next", "queued", "running"),
    Move("next", "next_fair", "queued", "running", "in fair order"),
    Move("next", "next_image", "queued", "running", "of the images asked for"),
    Move("start", "start", "queued", "running"),
    Move("start", "start", "running", "running", "by its holder"),
    Move("touch", "touch", "running", "running"),
    Move("succeed", "finish", "running", "succeeded"),
    Move("fail", "finish", "running", "failed"),
    Move("fail", "finish", "running", "delayed", "its retry policy forgives the failure"),
    Move("release", "release", "running", "queued", "no delay"),
    Move("release", "release", "running", "delayed", "delay > 0"),
    Move("wait", "wait", "running", "delayed", "jobs that it waits for have not ended"),
    Move("wait", "wait", "running", "queued", "all of them have ended"),
    Move("cancel", "cancel", "delayed", "cancelled"),
    Move("cancel", "cancel", "queued", "cancelled"),
    Move("cancel", "cancel", "running", "cancelled"),
    Move("cancel", "cancel", "cancelled", "cancelled", "nothing changes"),
    Move("retry", "retry", "succeeded", "succeeded", "a new job is made"),
    Move("retry", "retry", "failed", "failed", "max_retries is 0; a new job is made"),
    Move("retry", "retry", "cancelled", "cancelled", "a new job is made"),
    Move("retry", "retry_flow", "succeeded", "succeeded", "it and the jobs that were cancelled with it are made again"),
    Move("retry", "retry_flow", "failed", "failed", "the same"),
    Move("retry", "retry_flow", "cancelled", "cancelled", "the same"),
    Move("promote", "promote", "delayed", "queued", "before its delay ends"),
    Move("remove", "remove", "succeeded", None),
    Move("remove", "remove", "failed", None),
    Move("remove", "remove", "cancelled", None),
    Move("delete_group", "delete_group", "succeeded", None, "no job of the group is unfinished"),
    Move("delete_group", "delete_group", "failed", None, "no job of the group is unfinished"),
    Move("delete_group", "delete_group", "cancelled", None, "no job of the group is unfinished"),
    Move("log", "log", "running", "running"),
    Move("log", "log", "succeeded", "succeeded"),
    Move("log", "log", "failed", "failed"),
    Move("log", "log", "cancelled", "cancelled"),
    Move("settle", "settle", "delayed", "queued", "the last job that it waited for has ended"),
    Move("settle", "settle", "delayed", "delayed", "the same; its own delay begins"),
    Move("settle", "settle", "delayed", "cancelled", "a job that it waited for did not succeed; or its batch stops"),
    Move("settle", "settle", "queued", "cancelled", "its batch is cancelled, or not over in time"),
    Move("settle", "settle", "running", "cancelled", "its batch is cancelled, or not over in time"),
    Move("settle", "settle", None, "delayed", "a callback of a batch; delay > 0"),
    Move("settle", "settle", None, "queued", "a callback of a batch; no delay"),
    Move("retry_batch", "batch_retry", "failed", "failed", "a member of a batch; a new job is made"),
    Move("reap", "reap", "delayed", "queued", "the delay ended"),
    Move("reap", "reap", "delayed", "failed", "a deadline passed"),
    Move("reap", "reap", "queued", "failed", "a deadline passed"),
    Move("reap", "reap", "running", "queued", "the lease ended, deliveries left"),
    Move(
        "reap",
        "reap",
        "running",
        "failed",
        "the lease ended, no deliveries left; or the run's or the job's time ended",
    ),
    Move("reap", "reap", "running", "delayed", "the same, and its retry policy forgives the failure"),
    Move("reap", "reap", "succeeded", None, "the retention ended"),
    Move("reap", "reap", "failed", None, "the retention ended"),
    Move("reap", "reap", "cancelled", None, "the retention ended"),
)
"""Every edge. A finished job never changes status again."""
