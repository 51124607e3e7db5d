"""Retry policies: when a job that failed is tried again, as the same job."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from broker.models.fields import END

DEFAULT_MAX = 5
DEFAULT_DELAY_S = 10
DEFAULT_CAP_S = 3600
DEFAULT_JITTER = 20
DEFAULT_FACTOR = 2.0
MAX_S = 31_536_000
"""A year, s."""

Backoff = Literal["constant", "linear", "exponential"]
ReasonWord = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.:/-]{1,64}\*?" + END,
        extra={"words": "a reason: 1 to 64 characters of A-Z a-z 0-9 _ . : / -, then perhaps a *"},
    ),
]
"""A reason, or the beginning of reasons and a star."""
Reasons = Annotated[tuple[ReasonWord, ...], Meta(min_length=1, max_length=20)]
RetryMax = Annotated[int, Meta(ge=0, le=100, description="How many failures are forgiven.")]
RetryDelay = Annotated[int, Meta(ge=0, le=MAX_S, description="The wait after the first failure, in s.")]
RetryCap = Annotated[int, Meta(ge=0, le=MAX_S, description="No wait is longer, in s; but for the jitter.")]
RetryJitter = Annotated[int, Meta(ge=0, le=100, description="How much each wait varies up and down, in percent.")]
RetryAge = Annotated[
    int, Meta(ge=1, le=MAX_S, description="No try begins later than this after the creation of the job, in s.")
]
RetryFactor = Annotated[
    float,
    Meta(
        ge=1,
        le=10,
        description="Of an exponential backoff: each wait is this many times the one before. In steps of 0.001.",
        extra={"words": "a number from 1 to 10 in steps of 0.001"},
    ),
]
RetryAfter = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_S,
        description="Wait before the next try in place of the policy's, in s; the cap holds. Only for a retry policy.",
    ),
]
MayRetry = Annotated[bool, Meta(description="false: the job fails for good, and is not retried.")]
"""A report may be a whole job, whose `retry` is an object: that says nothing here."""
RETRY = "When the same job is tried again after a failure. Not together with max_retries."


class Retry(Struct, frozen=True, kw_only=True):
    """When a job that failed is tried again. The n-th failure is followed by a wait.

    constant: `delay`; linear: `delay` * n; exponential: `delay` * `factor` ** (n - 1). Then `cap` and `jitter` apply.
    Raises ValueError with the name of the field for a factor between two steps.
    """

    max: RetryMax | None = DEFAULT_MAX
    backoff: (
        Annotated[Backoff, Meta(description="How the wait grows: not, by the same, or by the factor each time.")] | None
    ) = "exponential"
    factor: RetryFactor | None = DEFAULT_FACTOR
    delay: RetryDelay | None = DEFAULT_DELAY_S
    cap: RetryCap | None = DEFAULT_CAP_S
    jitter: RetryJitter | None = DEFAULT_JITTER
    except_: (
        Annotated[Reasons, Meta(description="Reasons that fail the job at once; `auth_*`: all that begin so.")]
        | UnsetType
        | None
    ) = field(default=UNSET, name="except")
    only: (
        Annotated[Reasons, Meta(description="All other reasons fail the job at once; `auth_*`: all that begin so.")]
        | UnsetType
        | None
    ) = UNSET
    max_age: RetryAge | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        """Raise ValueError with the name of a field that is between two steps."""
        if self.factor is not None and abs(self.factor * 1000 - round(self.factor * 1000)) > _TOLERANCE:
            raise ValueError("factor")


_TOLERANCE = 1e-6
