"""The types of single fields, with their bounds, patterns and descriptions."""

from typing import Annotated

from msgspec import Meta

MAX_JOBS = 1000
"""The most jobs, or items, of one call."""

GROUP_NAME = r"[A-Za-z0-9_-]{1,128}"
JOB_ID = r"[0-9A-Za-z]{16}"
END = r"(?![\s\S])"
"""The end of a text, in patterns of Python and of JSON Schema ($ also matches before a last newline)."""
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*" + END

GroupName = Annotated[
    str,
    Meta(
        pattern=f"^{GROUP_NAME}{END}",
        description="Name of a group.",
        extra={"words": "the name of a group: 1 to 128 characters of A-Z a-z 0-9 _ -"},
    ),
]
"""The `words` of a pattern are its meaning in an error message."""
_IMAGE = "What runs the job: a name in the worker's table or a container image. Else the group's."
LINE = {"words": "a text of at most 255 characters, none of them a control character"}
Image = Annotated[str, Meta(max_length=255, pattern=NO_CONTROLS, description=_IMAGE, extra=LINE)]
Note = Annotated[
    str,
    Meta(
        max_length=255,
        pattern=NO_CONTROLS,
        description="A note for people, such as why the group is paused. It goes when the pause ends.",
        extra=LINE,
    ),
]
NewImage = Annotated[
    str, Meta(max_length=255, description=_IMAGE, extra_json_schema={"pattern": NO_CONTROLS}, extra=LINE)
]
"""The image of a new job. The decoder does not check its pattern: for 1,000 jobs that would take longer than the rest.
The handler of enqueue checks it, once for each different image."""
NewPayload = Annotated[
    str,
    Meta(
        description="What the job works on: any text. A payload that is an object, a list or a number is sent as its "
        "JSON text.",
        examples=["hello", '{"to": "ann"}'],
        extra={
            "words": "a text: send an object, a list, a number, true or false as its JSON text, such as "
            '"payload": "{\\"to\\": \\"ann\\"}"'
        },
    ),
]
MAX_DELAY_S = 31_536_000
"""The longest delay, s: 365 days. run_at is not further away."""
Delay = Annotated[int, Meta(ge=0, le=MAX_DELAY_S, description="Wait before the job is queued, in s.")]
RunAt = Annotated[
    str,
    Meta(
        description="When the job is queued, RFC 3339, in place of `delay`; a time in the past is now. "
        "At most 365 days from now.",
        extra_json_schema={"format": "date-time"},
    ),
]
StartWithin = Annotated[
    int,
    Meta(ge=1, le=31_536_000, description="Fail the job, reason `expired`, if it is not delivered in this time, s."),
]
StartBefore = Annotated[
    str,
    Meta(description="The same as a time, RFC 3339.", extra_json_schema={"format": "date-time"}),
]
EndWithin = Annotated[
    int,
    Meta(
        ge=1,
        le=31_536_000,
        description="Fail the job, reason `timeout`, if it is not finished within this time, s. No lease and no "
        "automatic retry goes past it.",
    ),
]
EndBefore = Annotated[
    str,
    Meta(description="The same as a time, RFC 3339.", extra_json_schema={"format": "date-time"}),
]
Timeout = Annotated[int, Meta(ge=1, le=604_800, description="How long a consumer may hold the job, in s.")]
Priority = Annotated[int, Meta(ge=0, le=2, description="Higher first; first in, first out inside one priority.")]
MaxRetries = Annotated[int, Meta(ge=0, le=25, description="How many new jobs failures may still make.")]
RetriesDelay = Annotated[int, Meta(ge=0, le=31_536_000, description="Wait before an automatic retry, in s.")]
Reason = Annotated[
    str,
    Meta(
        max_length=256,
        description="Why the job is in this status: timeout, killed, bad_exit, expired, client_request, or another "
        "text. The bundled worker has not_started, exception, invalid_outcome, http_500, http_error and worker_error.",
    ),
]
JobId = Annotated[
    str,
    Meta(pattern=f"^{JOB_ID}{END}", extra={"words": "the id of a job: 16 characters of 0-9 A-Z a-z"}),
]
CauseId = Annotated[
    str,
    Meta(
        pattern=f"^[0-9a-f]{{12}}{END}",
        description="Only jobs that failed of this cause: `cause` in an answer of failures.",
        extra={"words": "the cause of an answer of failures: 12 characters of 0-9 a-f"},
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

TraceParent = Annotated[
    str,
    Meta(
        description="The trace of the job, as W3C's header traceparent has it. An invalid one is ignored.",
        examples=["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ),
]
TraceState = Annotated[
    str, Meta(description="What belongs to traceparent, as W3C's header tracestate has it; 512 characters at most.")
]
