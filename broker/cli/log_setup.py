"""Sets up the log of a broker and a worker: structlog writes the lines of the standard library's loggers to stderr.

So lines of Titan, of libraries and of functions that use structlog look alike. A line is one thing: control characters
in its text are escaped, and secrets are left out. In the form json each line is one object.
"""

import logging
import re
import sys
from typing import Any

import msgspec
import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict

from broker.core.timestamps import rfc3339

ACCESS = "broker.access"
"""The logger of the access log, whose lines are JSON in both forms, and are written at every level."""
KEYS = ("job", "group", "worker", "request", "by", "ms")
"""The keys that lines have in this order, after ts, level and event."""

_SECRETS = re.compile(
    r"(?P<url>(?<=://)[^/\s@'\"]+(?=@))"
    r"|(?P<header>(?i:(?<=\bbearer )|(?<=\bbasic )|(?<=\blease=))[^\s'\"&,;]+)"
    r"|(?P<field>(?i:(?<=\btoken=)|(?<=\bpassword=)|(?<=\bsecret=))[^\s'\"&,;]+)"
)
"""What is written as dots: the user and password of an address, and the values of headers and fields with secrets."""
_DOTS = "••••"
_OWN = {"logger", "event", "message", "exception", "stack", "positional_args"}
_ESCAPED = {number: rf"\x{number:02x}" for number in (*range(32), 127)} | {10: r"\n", 13: r"\r", 9: r"\t"}


def log_to_stderr(level: str, form: str = "text", process: int | None = None) -> None:
    """Write messages of this level or above to stderr, with UTC times. `form`: text or json.

    `process`: the number of this broker among several, which each line has.
    """
    shared = [structlog.stdlib.add_logger_name, structlog.stdlib.PositionalArgumentsFormatter()]
    formatter = ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, ExtraAdder()],
        processors=[
            structlog.processors.format_exc_info,
            Line(form, process),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger(ACCESS).setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            *shared,
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class Line:
    """The last step of structlog: a line of what was logged."""

    def __init__(self, form: str, process: int | None) -> None:
        self._is_json = form == "json"
        self._process = process

    def __call__(self, _: Any, __: str, entry: EventDict) -> str:
        """The line, without its end."""
        record: logging.LogRecord = entry.pop("_record")
        is_own = entry.pop("_from_structlog", False)
        logger = entry.pop("logger", record.name)
        # A logger of the library has a sentence and perhaps the name of an event; one of structlog has the name alone.
        name, message = (
            (entry.pop("event"), "") if is_own else (record.__dict__.get("event", "log"), record.getMessage())
        )
        entry.pop("event", None)
        exception = entry.pop("exception", "")
        ts = rfc3339(int(record.created * 1000))
        if not self._is_json and logger != ACCESS:
            mark = "" if self._process is None else f" [{self._process}]"
            words = [f"{key}={value}" for key, value in entry.items() if is_own or key == "request"]
            text = " ".join([message or str(name), *words]).translate(_ESCAPED)
            line = f"{ts}{mark} {record.levelname} {logger}: {text}"
            return without_secrets(f"{line}\n{exception}" if exception else line)
        fields: dict[str, object] = {"ts": ts, "level": record.levelname.lower(), "event": name}
        fields |= {key: entry.pop(key) for key in KEYS if key in entry}
        if message and logger != ACCESS:
            fields["message"] = message
        fields |= entry
        if logger != ACCESS:
            fields["logger"] = logger
        if self._process is not None:
            fields["process"] = self._process
        if exception:
            fields["exception"] = exception
        return without_secrets(msgspec.json.encode(fields, enc_hook=repr).decode())


def without_secrets(text: str) -> str:
    """The text with dots in place of passwords in addresses, of tokens behind Bearer, and of fields with secrets."""
    return _SECRETS.sub(_DOTS, text)
