"""Texts of what a job answers or raises: they never raise, always fit, and are always UTF-8."""

MAX_REASON = 256
"""How many characters the broker takes of a reason."""
MAX_ERROR = 4096
"""How many it takes of an error text."""

_CUT = "…"


def shown(value: object) -> str:
    """What str() gives; of what has no text, a sentence that says so. What is not UTF-8 is escaped."""
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
    """The text in at most so many characters; one that is cut ends with an ellipsis."""
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def encoded(text: str) -> bytes:
    """The text as UTF-8; half a character is escaped."""
    return str.encode(text, "utf-8", "backslashreplace")


def plain(text: str) -> str:
    """The text as one that can be sent, an exact str."""
    return encoded(text).decode()
