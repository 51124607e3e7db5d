"""Texts of results and exceptions of jobs. These functions never raise, and return valid, sendable text."""

MAX_REASON = 256
"""Characters of a reason that the broker accepts."""
MAX_ERROR = 4096
"""Characters of an error text that the broker accepts."""

_CUT = "…"


def shown(value: object) -> str:
    """str(value), or a sentence if str() fails. Invalid UTF-8 is escaped."""
    try:
        return plain(value if type(value) is str else str(value))
    except BaseException as error:  # noqa: BLE001 -- the value's own code, whatever it raises
        return f"<{kind_of(value)} without a text: its str() raised {kind_of(error)}>"


def named(error: BaseException) -> str:
    """An exception's class and text: `ValueError: no such host`."""
    text = shown(error)
    return f"{kind_of(error)}: {text}" if text else kind_of(error)


def kind_of(value: object) -> str:
    """The name of a value's class."""
    try:
        return plain(type.__dict__["__name__"].__get__(type(value)))
    except BaseException:  # noqa: BLE001 -- a class may have anything for a name
        return "object"


def clipped(text: str, most: int) -> str:
    """The text in at most `most` characters; a text that is cut ends with an ellipsis."""
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def encoded(text: str) -> bytes:
    """The text as UTF-8; lone surrogates are escaped."""
    return str.encode(text, "utf-8", "backslashreplace")


def plain(text: str) -> str:
    """The text as an exact str that can be sent."""
    return encoded(text).decode()
