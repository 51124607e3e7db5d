"""The errors that a broker reports and that clients raise: each has one word, one class and one sentence.

The word in small letters is the `code` of an error body. This list is closed: brokers, workers, the command line and
this library use the same classes.
"""

from __future__ import annotations

from typing import ClassVar


class TitanError(Exception):
    """A refusal or a fault that is reported to a client. `message` is a sentence for people."""

    word: ClassVar[str] = "INTERNAL"
    """The word of the class, in capitals."""
    sentence: ClassVar[str] = "Something went wrong inside the broker; its log has the details."

    def __init__(self, message: str = "", *, fields: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(message or self.sentence)
        self.message = message or self.sentence
        self.fields = fields
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> str:
        """The word in small letters, as in an error body."""
        return self.word.lower()


class Conflict(TitanError):
    """The state of a job or group does not allow the request. Each error of this kind has a class of its own."""


class Unavailable(TitanError):
    """The broker or its store cannot do it now; the same request may succeed later. Each has a class of its own."""


class Invalid(TitanError):
    """A field is missing, of the wrong type or out of bounds."""

    word = "INVALID"
    sentence = "The request is not valid."


class Unauthorized(TitanError):
    """The request has no token, or an unknown one."""

    word = "UNAUTHORIZED"
    sentence = "A valid token is needed."


class Forbidden(TitanError):
    """The token does not have the scope or the group."""

    word = "FORBIDDEN"
    sentence = "The token does not allow this."


class CrossSite(TitanError):
    """A browser sent this request for a page of another site, and it would change something."""

    word = "CROSS_SITE"
    sentence = "A page of another site may not do this."


class NotFound(TitanError):
    """The job does not exist in this group, or the group, log or path does not exist."""

    word = "NOT_FOUND"
    sentence = "There is no such job in this group."


class MethodNotAllowed(TitanError):
    """The path exists, but not with this method."""

    word = "METHOD_NOT_ALLOWED"
    sentence = "This path does not take that method."


class Misdirected(TitanError):
    """The request must go to another broker, or to another name of this one: see the message."""

    word = "MISDIRECTED"
    sentence = "This broker does not answer to the host that the request names."


class TooSlow(TitanError):
    """The body did not arrive in time."""

    word = "TOO_SLOW"
    sentence = "The request's body did not arrive in time."


class WrongState(Conflict):
    """The job's status does not allow the verb."""

    word = "WRONG_STATE"
    sentence = "The job's status does not allow this."


class LeaseLost(Conflict):
    """The lease token is not that of the delivery that holds the job."""

    word = "LEASE_LOST"
    sentence = "Another delivery holds the job."


GAVE_BACK = "This delivery gave the job back: it waits for other jobs."
"""The message of a LeaseLost for a delivery that called wait, however its job is now."""


class Changed(Conflict):
    """If-Match names another state of the group or schedule than the one that it has."""

    word = "CHANGED"
    sentence = "It was changed meanwhile."


class TooLarge(TitanError):
    """The body, a payload or a log exceeds its limit."""

    word = "TOO_LARGE"
    sentence = "The request's body is too large."


class UnsupportedType(TitanError):
    """This path does not accept the Content-Type or Content-Encoding."""

    word = "UNSUPPORTED_TYPE"
    sentence = "The body's type is not supported."


class IdempotencyMismatch(TitanError):
    """The Idempotency-Key was used with another body."""

    word = "IDEMPOTENCY_MISMATCH"
    sentence = "This Idempotency-Key was used with another body."


class LimitReached(TitanError):
    """A limit is reached: the group is paused, is at its max_concurrency or rate_limit, or is full of jobs or bytes."""

    word = "LIMIT_REACHED"
    sentence = "A limit is reached; try again later."


class TooMany(Conflict):
    """More jobs match a bulk than its at_most. Nothing was done."""

    word = "TOO_MANY"
    sentence = "More jobs match than at_most."


class Duplicate(Conflict):
    """Another job has the unique key of the job. Nothing was done."""

    word = "DUPLICATE"
    sentence = "Another job has the same unique key."


class Overloaded(Unavailable):
    """The broker has more requests in progress than max_in_progress. Nothing was done."""

    word = "OVERLOADED"
    sentence = "The broker has more to do than it can; nothing was done, try again."


class StoreUnavailable(Unavailable):
    """The store does not answer, or refuses work. The request may or may not have been carried out."""

    word = "STORE_UNAVAILABLE"
    sentence = "The store is not available; whether the request was carried out is not known."


class StoreFull(Unavailable):
    """The store is out of memory: it takes no new jobs, but still dispatches and finishes the existing ones."""

    word = "STORE_FULL"
    sentence = "The store is out of memory and takes no new jobs for now."


class StoreDamaged(TitanError):
    """A key of the store has another type than Titan gives it: somebody wrote it by hand."""

    word = "STORE_DAMAGED"
    sentence = "A key of the store has a type that Titan did not give it; titan check names it."


class NotDurable(Unavailable):
    """The store did not confirm in time that new jobs are on its disk, or cannot confirm it."""

    word = "NOT_DURABLE"
    sentence = "The store did not confirm in time that the jobs are on its disk."


class Stopping(Unavailable):
    """The broker is stopping. Clients must send nothing more to it."""

    word = "STOPPING"
    sentence = "This broker is stopping; try again, at another broker or at this one after its restart."


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached, or its answer did not arrive. The request may or may not have been carried out."""

    word: ClassVar[str] = "BROKER_UNAVAILABLE"
    sentence: ClassVar[str] = "The broker cannot be reached; whether the request was carried out is not known."


class SpeaksDialect(TitanError):
    """The broker speaks a dialect for other clients. Nothing was done."""

    word: ClassVar[str] = "SPEAKS_DIALECT"
    sentence: ClassVar[str] = "The broker speaks a dialect for other clients."


class BrokerUnreachable(BrokerUnavailable):
    """There is no connection to the broker: nothing was sent."""

    sentence: ClassVar[str] = "The broker cannot be reached; nothing was sent."


class BrokerSilent(BrokerUnavailable):
    """A streamed answer has paused or broken off. The broker may work: ask it again."""

    sentence: ClassVar[str] = "The broker's answer was broken off."


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
    Changed,
    TooLarge,
    UnsupportedType,
    Misdirected,
    IdempotencyMismatch,
    LimitReached,
    TooMany,
    Duplicate,
    Overloaded,
    StoreUnavailable,
    StoreFull,
    StoreDamaged,
    NotDurable,
    Stopping,
    TitanError,
)
"""Every error that a broker reports."""

BY_WORD: dict[str, type[TitanError]] = {error.word: error for error in ERRORS}
