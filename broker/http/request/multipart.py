"""Reads a log from the body of a request, piece by piece as it arrives: a part of a form, or plain text.

In a form, the log is the one part named `log` or `file`, with any type, and with or without a filename. Other parts are
skipped within limits. The log is stored as sent. A part that must be decoded first is refused: one with a
Content-Encoding, or a Content-Transfer-Encoding of base64 or quoted-printable, which RFC 7578 deprecates.
"""

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from aiohttp import BadContentDispositionHeader, BadContentDispositionParam, BodyPartReader, MultipartReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.multipart import parse_content_disposition

from broker.core.errors import Invalid, TooLarge, TooSlow, UnsupportedType
from broker.core.settings import BrokerSettings
from broker.http.request.body import check_encodings, media_type

FORM = "multipart/form-data"
TEXT = "text/plain"
NAMES = ("log", "file")
"""The names that the part with the log may have."""

MAX_PARTS = 16
MAX_OTHER_BYTES = 1024 * 1024
"""The limit for all other parts of a form together, and for the framing."""

_PIECE_BYTES = 64 * 1024
_PLAIN = ("7bit", "8bit", "binary")
_BROKEN = (web.RequestPayloadError, ConnectionError, HttpProcessingError, ValueError, RuntimeError, AssertionError)
_BROKEN_NAME = (BadContentDispositionHeader, BadContentDispositionParam)
"""Warnings of aiohttp about the header that names a part."""

_Read = TypeVar("_Read")


def log_pieces(request: web.BaseRequest, settings: BrokerSettings) -> AsyncIterator[bytes]:
    """The log's bytes. Headers that are not acceptable are refused at once, before the body is read.

    Raises UnsupportedType, TooLarge when the Content-Length is above max_log_bytes, Invalid for a form that is broken
    or has no log, and TooSlow when nothing arrives for body_timeout_s. `Logs.write` limits the size of the log itself.
    """
    check_encodings(request.headers)
    kind = media_type(request)
    if kind == FORM:
        _check_length(request, settings.max_log_bytes, MAX_OTHER_BYTES)
        return _of_form(request, settings.body_timeout_s)
    if kind not in ("", TEXT):
        raise UnsupportedType(f"A log is sent as {TEXT}, or as a part named log of {FORM}.")
    if not kind and not request.body_exists:
        raise Invalid("There is no log in the request.", fields="log")
    _check_length(request, settings.max_log_bytes, 0)
    return _of_text(request, settings.body_timeout_s)


def _check_length(request: web.BaseRequest, max_bytes: int, slack_bytes: int) -> None:
    if (request.content_length or 0) > max_bytes + slack_bytes:
        raise TooLarge(f"A log may have {max_bytes} bytes at most.")


async def _of_form(request: web.BaseRequest, pause_s: float) -> AsyncIterator[bytes]:
    found = False
    other_bytes = 0
    async for part in _parts(request, pause_s):
        is_log = part.name in NAMES
        if is_log and found:
            raise Invalid("The form has two logs.", fields="log")
        if is_log:
            found = True
            _check_encodings(part)
        async for piece in _pieces(part, pause_s):
            if is_log:
                yield piece
                continue
            other_bytes += len(piece)
            if other_bytes > MAX_OTHER_BYTES:
                raise TooLarge(f"The parts other than the log may have {MAX_OTHER_BYTES} bytes at most.")
    if not found:
        raise Invalid("The form has no part named log.", fields="log")


async def _parts(request: web.BaseRequest, pause_s: float) -> AsyncIterator[BodyPartReader]:
    """The parts of a form up to its closing line. Each must be read to its end before the next."""
    form = await _read(request.multipart(), pause_s)
    form.part_reader_cls = _Part
    for _ in range(MAX_PARTS + 1):
        part = await _read(form.next(), pause_s)
        if part is None:
            return
        if isinstance(part, MultipartReader):
            raise Invalid("A part of the form is a form itself.", fields="log")
        yield part
    raise Invalid(f"The form has more than {MAX_PARTS} parts.", fields="log")


class _Part(BodyPartReader):
    """A part of a form. Raises a warning of aiohttp as an error when its name is malformed.

    aiohttp would print the warning, with the text of the client, to standard error.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        with warnings.catch_warnings():
            for warning in _BROKEN_NAME:
                warnings.simplefilter("error", warning)
            parse_content_disposition(self.headers.get("Content-Disposition"))


def _check_encodings(part: BodyPartReader) -> None:
    if "Content-Encoding" in part.headers:
        raise UnsupportedType("A Content-Encoding is not supported, nor in a part.")
    encoding = part.headers.get("Content-Transfer-Encoding", "binary")
    if encoding.strip().lower() not in _PLAIN:
        raise UnsupportedType("A part's Content-Transfer-Encoding must be binary.")


async def _pieces(part: BodyPartReader, pause_s: float) -> AsyncIterator[bytes]:
    while not part.at_eof():
        if piece := await _read(part.read_chunk(_PIECE_BYTES), pause_s):
            yield piece


async def _of_text(request: web.BaseRequest, pause_s: float) -> AsyncIterator[bytes]:
    while piece := await _read(request.content.readany(), pause_s):
        yield piece


async def _read(reading: Awaitable[_Read], pause_s: float) -> _Read:
    """One step of reading the body. Raises TooSlow after a pause, Invalid for a broken or incomplete body."""
    try:
        async with asyncio.timeout(pause_s):
            return await reading
    except TimeoutError:
        raise TooSlow from None
    except (*_BROKEN, *_BROKEN_NAME) as error:
        raise Invalid("The body is broken, or broke off.", fields="log") from error
