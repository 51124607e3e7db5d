"""Everything Titan refuses, as a closed list: one word, one class, one sentence.

The word in capitals is what a script answers; in small letters it is the `code` of the error body. Which HTTP status
a class has stands in `broker.http.error_responses`.
"""

from typing import ClassVar


class TitanError(Exception):
    """A refusal or a fault that a client is told about. `message` is a sentence for a person."""

    word: ClassVar[str] = "INTERNAL"
    sentence: ClassVar[str] = "Something went wrong inside the broker; it is logged there."

    def __init__(self, message: str = "", *, fields: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(message or self.sentence)
        self.message = message or self.sentence
        self.fields = fields
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> str:
        """The word as the error body has it."""
        return self.word.lower()


class Invalid(TitanError):
    """A field is missing, of the wrong type or out of bounds."""

    word = "INVALID"
    sentence = "The request is not valid."


class Unauthorized(TitanError):
    """No token, or one that is not known."""

    word = "UNAUTHORIZED"
    sentence = "A valid token is needed."


class Forbidden(TitanError):
    """The token does not allow this."""

    word = "FORBIDDEN"
    sentence = "The token does not allow this."


class CrossSite(TitanError):
    """A browser sent this for a page of another site, and it would change something."""

    word = "CROSS_SITE"
    sentence = "A page of another site may not do this."


class NotFound(TitanError):
    """No such job in this group, no such group, no log, no such page."""

    word = "NOT_FOUND"
    sentence = "There is no such job in this group."


class MethodNotAllowed(TitanError):
    """The path exists, but not with this method."""

    word = "METHOD_NOT_ALLOWED"
    sentence = "This path does not take that method."


class Misdirected(TitanError):
    """The Host is none of a broker on loopback that asks for no token."""

    word = "MISDIRECTED"
    sentence = "This broker does not answer to the host that the request names."


class TooSlow(TitanError):
    """The body did not arrive in time."""

    word = "TOO_SLOW"
    sentence = "The request's body did not arrive in time."


class WrongState(TitanError):
    """The job's status does not allow the verb."""

    word = "WRONG_STATE"
    sentence = "The job's status does not allow this."


class LeaseLost(TitanError):
    """The lease token is not the one of the delivery that holds the job."""

    word = "LEASE_LOST"
    sentence = "Another delivery holds the job."


class TooLarge(TitanError):
    """The body, a payload or a log is over its limit."""

    word = "TOO_LARGE"
    sentence = "The request's body is too large."


class UnsupportedType(TitanError):
    """The Content-Type or Content-Encoding is not one that this path takes."""

    word = "UNSUPPORTED_TYPE"
    sentence = "The body's type is not supported."


class IdempotencyMismatch(TitanError):
    """The Idempotency-Key was used with another body."""

    word = "IDEMPOTENCY_MISMATCH"
    sentence = "This Idempotency-Key was used with another body."


class LimitReached(TitanError):
    """A limit is reached for now: the group is paused, at its max_concurrency or rate_limit, or full of jobs."""

    word = "LIMIT_REACHED"
    sentence = "A limit is reached; try again later."


class Overloaded(TitanError):
    """The broker has more in progress than its max_in_progress; nothing of this was done."""

    word = "OVERLOADED"
    sentence = "The broker has more to do than it can; nothing was done, try again."


class StoreUnavailable(TitanError):
    """The store does not answer, or refuses work. What was asked may or may not have been done."""

    word = "STORE_UNAVAILABLE"
    sentence = "The store is not available; whether the request was carried out is not known."


class StoreFull(TitanError):
    """The store is out of memory: it takes no new jobs, but hands out and finishes those it has."""

    word = "STORE_FULL"
    sentence = "The store is out of memory and takes no new jobs for now."


class NotDurable(TitanError):
    """The store has not said in time that new jobs are on its disk, or cannot say it at all."""

    word = "NOT_DURABLE"
    sentence = "The store has not said in time that the jobs are on its disk."


class Stopping(TitanError):
    """The broker was told to stop: send nothing more here."""

    word = "STOPPING"
    sentence = "This broker is stopping; another one is there, or it is back soon."


ERRORS: tuple[type[TitanError], ...] = (
    Invalid,
    Unauthorized,
    Forbidden,
    CrossSite,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    WrongState,
    LeaseLost,
    TooLarge,
    UnsupportedType,
    Misdirected,
    IdempotencyMismatch,
    LimitReached,
    Overloaded,
    StoreUnavailable,
    StoreFull,
    NotDurable,
    Stopping,
    TitanError,
)

BY_WORD: dict[str, type[TitanError]] = {error.word: error for error in ERRORS}
