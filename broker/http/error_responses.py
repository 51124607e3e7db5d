"""Refusals and other errors as HTTP responses, and the HTTP status of each class."""

import logging
from collections.abc import Callable

import msgspec
from aiohttp import web

from broker.core.errors import (
    BY_WORD,
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
from broker.core.events import event
from broker.http.responses import NO_SNIFF, Response
from broker.models.results import Problem, ProblemWrapper

STATUS: dict[type[TitanError], int] = {
    Invalid: 400,
    Unauthorized: 401,
    Forbidden: 403,
    CrossSite: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    TooSlow: 408,
    WrongState: 409,
    LeaseLost: 409,
    TooMany: 409,
    Duplicate: 409,
    Changed: 412,
    TooLarge: 413,
    UnsupportedType: 415,
    Misdirected: 421,
    IdempotencyMismatch: 422,
    LimitReached: 429,
    Overloaded: 503,
    TitanError: 500,
    StoreDamaged: 500,
    StoreUnavailable: 503,
    StoreFull: 503,
    NotDurable: 503,
    Stopping: 503,
}
"""The HTTP status of each class."""

RETRY_AFTER_S: dict[type[TitanError], int] = {
    LimitReached: 1,
    Overloaded: 1,
    StoreUnavailable: 1,
    StoreFull: 5,
    NotDurable: 1,
    Stopping: 1,
}
"""The Retry-After, in s, of errors that end without a change of the request; the error may have another value."""

DOC = "/docs/errors#{code}"
"""The path of the page that describes an error; its anchors are the codes."""

_log = logging.getLogger(__name__)
_ENCODER = msgspec.json.Encoder()
_OF_FRAMEWORK: dict[int, TitanError] = {
    404: NotFound("There is nothing at this path."),
    405: MethodNotAllowed(),
    408: TooSlow(),
    413: TooLarge(),
    415: UnsupportedType(),
}


def response_to(fault: Exception, method: str, path: str, client_of: Callable[[], str], request: str = "") -> Response:
    """The response to a request that raised this. An unexpected error is a 500: it is logged and not shown.

    `client_of` returns the address of the client; `request` is the id of the request.
    """
    if type(fault) is TitanError or not isinstance(fault, (TitanError, web.HTTPException, ConnectionError)):
        failed, client = event("request.failed", request=request), client_of() or "a client that left"
        _log.error("%s %r of %s failed", method, path, client, exc_info=fault, extra=failed)
    if isinstance(fault, TitanError):
        return refusal(fault)
    if isinstance(fault, web.HTTPException):
        return refusal_of_framework(fault)
    return refusal(TitanError())


def problem_of(error: TitanError) -> Problem:
    """The part of an error that a client may see. An unexpected error has only the general message."""
    message = TitanError.sentence if type(error) is TitanError else error.message
    return Problem(message=message, fields=error.fields, code=error.code)


def refusal(error: TitanError) -> Response:
    """The response to a request that raised this error."""
    kind = BY_WORD[error.word]
    headers = {"Content-Type": "application/json", NO_SNIFF[0]: NO_SNIFF[1]}
    retry_after_s = error.retry_after_s or RETRY_AFTER_S.get(kind)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if kind is Unauthorized:
        headers["WWW-Authenticate"] = 'Bearer realm="titan"'
    problem = msgspec.structs.replace(problem_of(error), doc=DOC.format(code=error.code))
    return Response(STATUS[kind], _ENCODER.encode(ProblemWrapper(problem)), tuple(headers.items()))


def code_of(fault: Exception) -> str:
    """The code of the error that a client gets for this fault."""
    if isinstance(fault, TitanError):
        return fault.code
    if isinstance(fault, web.HTTPException):
        return _framework_error(fault).code
    return TitanError().code


def without_doc(response: Response) -> Response:
    """The response of a broker without pages: `doc` would lead nowhere."""
    problem = msgspec.json.decode(response.body, type=ProblemWrapper).error
    body = _ENCODER.encode(ProblemWrapper(msgspec.structs.replace(problem, doc="")))
    return msgspec.structs.replace(response, body=body)


def refusal_of_framework(error: web.HTTPException) -> Response:
    """The response in place of one of aiohttp, with the same Allow."""
    response = refusal(_framework_error(error))
    if "Allow" in error.headers:
        return msgspec.structs.replace(response, headers=(*response.headers, ("Allow", error.headers["Allow"])))
    return response


def _framework_error(error: web.HTTPException) -> TitanError:
    return _OF_FRAMEWORK.get(error.status) or (Invalid() if error.status < 500 else TitanError())
