"""Decodes answers of the broker as structs."""

from typing import TypeVar

import msgspec

from titan.answers import not_titan

T = TypeVar("T")


def decode_answer(body: bytes, type_: type[T], url: str) -> T:
    """Decode the body. Raises BrokerUnavailable if it is something else: then it is no Titan broker."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise not_titan(url) from error
