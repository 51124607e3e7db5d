"""The page of errors: each code with its status, when it happens, and what to do."""

import inspect
import tomllib
from pathlib import Path

from broker.core.errors import ERRORS, TitanError
from broker.http.error_responses import RETRY_AFTER_S, STATUS
from tests.docs.tables import page, table

_ADVICE = tomllib.loads((Path(__file__).parent / "advice.toml").read_text("utf-8"))
"""What a client does about each error, by code."""


def errors_page() -> str:
    """Each error with an anchor of its own, which is its code."""
    ordered = sorted(ERRORS, key=lambda error: (STATUS[error], error.word))
    rows = table(
        ("status", "code", "means"),
        ((str(STATUS[each]), f"[`{each.word.lower()}`](#{each.word.lower()})", each.sentence) for each in ordered),
    )
    return page("errors", rows=rows) + "".join(_chapter(each) for each in ordered)


def _chapter(error: type[TitanError]) -> str:
    retry = RETRY_AFTER_S.get(error)
    status = f"HTTP status {STATUS[error]}" + (f", `Retry-After: {retry}` or more." if retry else ".")
    when = "The broker met an error that it does not know." if error is TitanError else inspect.getdoc(error) or ""
    return f"\n## {error.word.lower()}\n\n{status} {when}\n\n*What to do.* {_ADVICE[error.word.lower()]}\n"
