"""Texts of results and exceptions of jobs. These functions never raise, and return valid, sendable text."""

MAX_REASON = 256
"""Characters of a reason that the broker accepts."""
MAX_ERROR = 4096
"""Characters of an error text that the broker accepts."""

_CUT = "…"


def safe_text(value: object) -> str:
    """str(value), or a sentence if str() fails. Invalid UTF-8 is escaped."""
    try:
        return utf8_text(value if type(value) is str else str(value))
    except BaseException as error:  # noqa: BLE001 -- the value's own code, whatever it raises
        return f"<{class_name(value)} without a text: its str() raised {class_name(error)}>"


def error_text(error: BaseException) -> str:
    """An exception's class and text: `ValueError: no such host`."""
    text = safe_text(error)
    return f"{class_name(error)}: {text}" if text else class_name(error)


def class_name(value: object) -> str:
    """The name of a value's class."""
    try:
        return utf8_text(type.__dict__["__name__"].__get__(type(value)))
    except BaseException:  # noqa: BLE001 -- a class may have anything for a name
        return "object"


def clipped(text: str, most: int) -> str:
    """The text in at most `most` characters; a text that is cut ends with an ellipsis."""
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def encoded(text: str) -> bytes:
    """The text as UTF-8; lone surrogates are escaped."""
    return str.encode(text, "utf-8", "backslashreplace")


def utf8_text(text: str) -> str:
    """The text as an exact str that can be sent."""
    return encoded(text).decode()
