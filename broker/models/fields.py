"""What one field may hold: types with their bounds, patterns and descriptions."""

from typing import Annotated

from msgspec import Meta

MAX_JOBS = 1000
"""The most jobs, or items, that one call carries."""

GROUP_NAME = r"[A-Za-z0-9_-]{1,128}"
JOB_ID = r"[0-9A-Za-z]{16}"
END = r"(?![\s\S])"
"""The end of the text, in Python's dialect and in JSON Schema's alike ($ would let a last newline pass)."""
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*" + END

GroupName = Annotated[
    str,
    Meta(
        pattern=f"^{GROUP_NAME}{END}",
        description="Name of a group.",
        extra={"words": "the name of a group: 1 to 128 characters of A-Z a-z 0-9 _ -"},
    ),
]
"""`words` of a pattern: how a refusal says it."""
_IMAGE = "What runs the job: a name in the worker's table or a container image. Else the group's."
LINE = {"words": "a text of at most 255 characters, none of them a control character"}
Image = Annotated[str, Meta(max_length=255, pattern=NO_CONTROLS, description=_IMAGE, extra=LINE)]
NewImage = Annotated[
    str, Meta(max_length=255, description=_IMAGE, extra_json_schema={"pattern": NO_CONTROLS}, extra=LINE)
]
"""An image of many jobs that come at once. Its pattern is for the reader to check, once for each that is different: for
every one of 1,000 jobs that takes longer than all else of their decoding."""
Delay = Annotated[int, Meta(ge=0, le=31_536_000, description="Wait before the job is queued, in s.")]
Timeout = Annotated[int, Meta(ge=1, le=604_800, description="How long a consumer may hold the job, in s.")]
Priority = Annotated[int, Meta(ge=0, le=2, description="Higher first; first in, first out inside one priority.")]
MaxRetries = Annotated[int, Meta(ge=0, le=25, description="How many new jobs failures may still make.")]
RetriesDelay = Annotated[int, Meta(ge=0, le=31_536_000, description="Wait before an automatic retry, in s.")]
Reason = Annotated[
    str,
    Meta(
        max_length=256,
        description="Why the job is in this status: timeout, killed, bad_exit, client_request, or own words, such "
        "as the bundled worker's not_started, exception, invalid_outcome, http_500, http_error and worker_error.",
    ),
]
ErrorText = Annotated[str, Meta(max_length=4096, description="What went wrong, for people.")]
LeaseToken = Annotated[str, Meta(max_length=64, description="The token of the delivery that holds the job.")]
Time = Annotated[str, Meta(description="RFC 3339.", extra_json_schema={"format": "date-time"})]
Retention = Annotated[int, Meta(ge=0, le=315_360_000, description="How long such jobs and their logs are kept, in s.")]
EnvName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}" + END,
        extra={"words": "1 to 128 characters of A-Z a-z 0-9 _, the first no digit"},
    ),
]
EnvValue = Annotated[
    str,
    Meta(
        max_length=32_768,
        pattern=r"^[^\x00]*" + END,
        extra={"words": "a text of at most 32768 characters, none of them NUL"},
    ),
]
EnvVars = Annotated[dict[EnvName, EnvValue], Meta(max_length=100, description="Environment of the group's jobs.")]
