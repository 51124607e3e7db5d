"""Decodes answers of the broker: a struct, or the error that the error body names."""

from collections.abc import Mapping
from typing import ClassVar, TypeVar

import msgspec

from broker.core.errors import BY_WORD, TitanError
from broker.models.results import ProblemWrapper

T = TypeVar("T")

_GATEWAY = frozenset({502, 503, 504})


class BrokerUnavailable(TitanError):
    """The broker cannot be reached, or its answer did not arrive. The request may or may not have been carried out."""

    word: ClassVar[str] = "BROKER_UNAVAILABLE"
    sentence: ClassVar[str] = "The broker cannot be reached; whether the request was carried out is not known."


class SpeaksDialect(TitanError):
    """The broker speaks a dialect for other clients. Nothing was done."""

    word: ClassVar[str] = "SPEAKS_DIALECT"
    sentence: ClassVar[str] = "The broker speaks a dialect for other clients."


class BrokerSilent(BrokerUnavailable):
    """A streamed answer has paused or broken off. The broker may work: ask it again."""

    sentence: ClassVar[str] = "The broker's answer was broken off."


def decode_answer(body: bytes, type_: type[T], url: str) -> T:
    """Decode the body. Raises BrokerUnavailable if it is something else: then it is no Titan broker."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BrokerUnavailable(f"What answers at {url} is no Titan broker, or one of another version.") from error


def refusal(status: int, headers: Mapping[str, str], body: bytes, base_url: str) -> TitanError:
    """The error for an answer of 300 and above. A 502, 503 or 504 of a proxy is BrokerUnavailable."""
    retry_after_s = _seconds(headers.get("Retry-After", ""))
    try:
        problem = msgspec.json.decode(body, type=ProblemWrapper).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if status in _GATEWAY:
            text = f"Something before the broker at {base_url} answered {status}: it cannot reach the broker."
            return BrokerUnavailable(text, retry_after_s=retry_after_s)
        return TitanError(_not_a_broker(status, headers, body, base_url), retry_after_s=retry_after_s)
    error = BY_WORD.get(problem.code.upper(), TitanError)
    return error(problem.message, fields=problem.fields, retry_after_s=retry_after_s)


def _not_a_broker(status: int, headers: Mapping[str, str], body: bytes, base_url: str) -> str:
    """The message for an answer that is not from a Titan broker."""
    if status < 400 and headers.get("Location"):
        return f"What answers at {base_url} redirects to {headers['Location'][:200]!r}. Correct --broker-url."
    if status == 400 and base_url.startswith("http:") and b"https" in body.lower():
        return f"What answers at {base_url} has TLS: its address is https{base_url.removeprefix('http')}."
    return f"What answers at {base_url} is no Titan broker: it answered {status}. Correct --broker-url."


def _seconds(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
