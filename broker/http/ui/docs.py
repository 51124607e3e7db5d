"""The handlers of the documentation: enter_docs, docs. Pages read well without scripts; search needs them."""

import asyncio
import gzip
from functools import cache
from http import HTTPStatus

from broker.docs import contents
from broker.http.request.context import Call
from broker.http.responses import Headers, Response
from broker.http.ui.assets import assets
from broker.http.ui.headers import NOT_KEPT, PAGE

INDEX = "search.json"
_SOURCE = ".md"
_JSON: Headers = (("Content-Type", "application/json"), *NOT_KEPT)
_TEXT: Headers = (("Content-Type", "text/markdown; charset=utf-8"), *NOT_KEPT)


async def enter_docs(_: Call) -> Response:
    """Send a browser to the documentation."""
    return Response(303, b"", (("Location", "docs/"), *NOT_KEPT))


async def docs(call: Call) -> Response:
    """Return a page of the documentation, its source (start.md), or the index for search.

    A page is rendered when it is first asked for, in a thread, so that no other request waits for it.
    """
    status, content, headers = await asyncio.to_thread(_document, call.web.match_info["page"])
    headers += (("Vary", "Accept-Encoding"),)
    if "gzip" in call.request.headers.get("Accept-Encoding", ""):
        return Response(status, _compressed(content), (*headers, ("Content-Encoding", "gzip")))
    return Response(status, content, headers)


def _document(name: str) -> tuple[int, bytes, Headers]:
    from broker.docs import pages  # noqa: PLC0415 - a broker starts without the parser, which takes long to load

    static = f"ui/static/{assets().version}"
    if name == INDEX:
        return HTTPStatus.OK, pages.index(), _JSON
    source = name.removesuffix(_SOURCE)
    if source != name and source in contents.NAMES:
        return HTTPStatus.OK, contents.source(source).text.encode(), _TEXT
    name = name or contents.FIRST
    if name not in contents.NAMES:
        return HTTPStatus.NOT_FOUND, pages.lost(static).encode(), PAGE
    return HTTPStatus.OK, pages.page(name, static).encode(), PAGE


@cache
def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)
