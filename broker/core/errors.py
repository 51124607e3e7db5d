"""The errors of the broker, which are those of its Python client, and why a process cannot start.

A script replies with the word of an error in capitals. The HTTP status of each class is in
`broker.http.error_responses`.
"""

from titan.errors import (
    BY_WORD,
    ERRORS,
    GAVE_BACK,
    Changed,
    CrossSite,
    Duplicate,
    Forbidden,
    IdempotencyMismatch,
    Invalid,
    LeaseLost,
    LimitReached,
    MethodNotAllowed,
    Misdirected,
    NotDurable,
    NotFound,
    Overloaded,
    Stopping,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    TitanError,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    UnsupportedType,
    WrongState,
)

__all__ = [
    "BY_WORD",
    "ERRORS",
    "GAVE_BACK",
    "Changed",
    "CrossSite",
    "Duplicate",
    "Forbidden",
    "IdempotencyMismatch",
    "Invalid",
    "LeaseLost",
    "LimitReached",
    "MethodNotAllowed",
    "Misdirected",
    "NotDurable",
    "NotFound",
    "Overloaded",
    "StartFailed",
    "Stopping",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "TitanError",
    "TooLarge",
    "TooMany",
    "TooSlow",
    "Unauthorized",
    "UnsupportedType",
    "WrongState",
]


class StartFailed(Exception):
    """A process cannot start. The text is one line that says what is missing."""
