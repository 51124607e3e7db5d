"""Reads answers of a broker: JSON, or the error that the error body names."""

from __future__ import annotations

import json
from typing import Any, Protocol

from titan.addresses import ARGUMENTS, Names
from titan.errors import BY_WORD, BrokerUnavailable, TitanError

_GATEWAY = frozenset({502, 503, 504})


class Headers(Protocol):
    """The headers of an answer; their names in any case."""

    def get(self, name: str, /) -> str | None:
        """The value of a header."""


def decode_object(body: bytes, url: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises BrokerUnavailable if it is something else: then it is no Titan broker."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, dict):
        return decoded
    raise not_titan(url)


def not_titan(url: str) -> BrokerUnavailable:
    """The error for an answer of success that no Titan broker of this version gives."""
    return BrokerUnavailable(f"What answers at {url} is no Titan broker, or one of another version.")


def refusal(status: int, headers: Headers, body: bytes, base_url: str, names: Names = ARGUMENTS) -> TitanError:
    """The error for an answer of 300 and above. A 502, 503 or 504 of a proxy is BrokerUnavailable."""
    retry_after_s = _seconds(headers.get("Retry-After") or "")
    problem = _problem(body)
    if problem is None and status in _GATEWAY:
        text = f"Something before the broker at {base_url} answered {status}: it cannot reach the broker."
        return BrokerUnavailable(text, retry_after_s=retry_after_s)
    if problem is None:
        return TitanError(_not_a_broker(status, headers, body, base_url, names), retry_after_s=retry_after_s)
    error = BY_WORD.get(problem.get("code", "").upper(), TitanError)
    return error(problem["message"], fields=problem.get("fields", ""), retry_after_s=retry_after_s)


def _problem(body: bytes) -> dict[str, str] | None:
    """The `error` of an error body; None for another body."""
    try:
        problem = json.loads(body)["error"]
        texts = (problem["message"], problem.get("fields", ""), problem.get("code", ""))
        is_whole = all(isinstance(text, str) for text in texts)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return problem if is_whole else None


def _not_a_broker(status: int, headers: Headers, body: bytes, base_url: str, names: Names) -> str:
    """The message for an answer that is not from a Titan broker."""
    location = headers.get("Location")
    if status < 400 and location:
        return f"What answers at {base_url} redirects to {location[:200]!r}. Correct {names.url}."
    if status == 400 and base_url.startswith("http:") and b"https" in body.lower():
        return f"What answers at {base_url} has TLS: its address is https{base_url[len('http') :]}."
    return f"What answers at {base_url} is no Titan broker: it answered {status}. Correct {names.url}."


def _seconds(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
