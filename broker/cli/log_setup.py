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
from structlog.processors import EventRenamer
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict

from broker.core.timestamps import rfc3339

ACCESS = "broker.access"
"""The logger of the access log, whose lines are JSON in both forms, and are written at every level."""
ADDRESS = "broker.address"
"""The logger of the line that says where a broker serves, which is written at every level."""
KEYS = ("job", "group", "worker", "request", "by", "ms")
"""The keys that lines have in this order, after ts, level and event."""

_SECRETS = re.compile(
    r"(?P<url>(?<=://)[^/\s@'\"]+(?=@))"
    r"|(?P<header>(?i:(?<=\bbearer )|(?<=\bbasic )|(?<=\blease=))[^\s'\"&,;]+)"
    r"|(?P<field>(?i:(?<=\btoken=)|(?<=\bpassword=)|(?<=\bsecret=))[^\s'\"&,;]+)"
)
"""What is written as dots: the user and password of an address, and the values of headers and fields with secrets."""
_DOTS = "••••"
_SECRET_KEYS = {"token", "password", "secret", "authorization", "cookie", "lease", "payload"}
_ESCAPED = {number: rf"\x{number:02x}" for number in (*range(32), 127)} | {10: r"\n", 13: r"\r", 9: r"\t"}


def log_to_stderr(level: str, form: str = "text", process: int | None = None) -> None:
    """Write messages of this level or above to stderr, with UTC times. `form`: text or json.

    `process`: the number of this broker among several, which each line has.
    """
    formatter = ProcessorFormatter(
        foreign_pre_chain=[EventRenamer("message"), ExtraAdder()],
        processors=[structlog.processors.format_exc_info, LogLine(form, process)],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name in (ACCESS, ADDRESS):
        logging.getLogger(name).setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class LogLine:
    """The last step of structlog: a line of what was logged."""

    def __init__(self, form: str, process: int | None) -> None:
        self._is_json = form == "json"
        self._process = process

    def __call__(self, _: Any, __: str, entry: EventDict) -> str:
        """The line, without its end."""
        record: logging.LogRecord = entry.pop("_record")
        # A logger of the library has a sentence and perhaps the name of an event; one of structlog has the name alone.
        is_own = entry.pop("_from_structlog", False)
        name, message = str(entry.pop("event", "log")), "" if is_own else str(entry.pop("message"))
        for key in _SECRET_KEYS & entry.keys():
            entry[key] = _DOTS
        if self._is_json or record.name == ACCESS:
            line = self._object(record, name, "" if record.name == ACCESS else message, entry)
        else:
            line = self._sentence(record, message or name, entry, is_own=is_own)
        return without_secrets(line)

    def _object(self, record: logging.LogRecord, name: str, message: str, entry: EventDict) -> str:
        fields: dict[str, object] = {"ts": _time(record), "level": record.levelname.lower(), "event": name}
        fields |= {key: entry.pop(key) for key in KEYS if key in entry}
        last = {"exception": entry.pop("exception")} if "exception" in entry else {}
        fields |= {"message": message} if message else {}
        fields |= entry
        fields |= {"logger": record.name} if message else {}
        fields |= {} if self._process is None else {"process": self._process}
        return msgspec.json.encode(fields | last, enc_hook=repr).decode()

    def _sentence(self, record: logging.LogRecord, message: str, entry: EventDict, *, is_own: bool) -> str:
        """The line for people. Of a sentence it adds the request alone, since the sentence says the rest."""
        mark = "" if self._process is None else f" [{self._process}]"
        exception = f"\n{entry.pop('exception')}" if "exception" in entry else ""
        keys = entry.keys() if is_own else ("request",) if "request" in entry else ()
        text = " ".join([message, *(f"{key}={entry[key]}" for key in keys)]).translate(_ESCAPED)
        return f"{_time(record)}{mark} {record.levelname} {record.name}: {text}{exception}"


def _time(record: logging.LogRecord) -> str:
    return rfc3339(int(record.created * 1000))


def without_secrets(text: str) -> str:
    """The text with dots in place of passwords in addresses, of tokens behind Bearer, and of fields with secrets."""
    return _SECRETS.sub(_DOTS, text)
