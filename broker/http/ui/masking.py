"""Masks secrets in answers to sessions. It is a curtain, not a wall: a token with the scope read sees everything.

The value of a name that contains one of the words is masked, in any case and at any depth: in JSON, in JSON inside a
text, also where that is cut off, and as name=value or a line `name: value` in other text. The search looks only at the
places where a word occurs, and follows the text from there, so its time grows with the length of the text alone.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

WORDS = ("password", "secret", "token", "api_key", "authorization", "cookie", "private_key")
MASK = "••••"
HELD_BYTES = 16 * 1024
"""How much of a line of a log without its end is held back at most, until it is clear that it has no secret. As much is
read before the first byte that is asked for."""
_ALWAYS = "env_vars"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_SINGLE = re.compile(r"'(?:[^'\\\n]|\\.)*'?", re.DOTALL)
_STEP = re.compile(r'[\[{\]}]|"(?:[^"\\]|\\.)*"?', re.DOTALL)
_JSON_BEGINS = re.compile(r'\s*[{\["]')
_ESCAPED = re.compile(r"\\{1,64}[\"']")
_OF_JSON = re.compile(r"[^\s,}\]\"']+")
_OF_LINE = re.compile(r"[^\r\n]+")
_OF_PAIR = re.compile(r"(?:(?:Bearer|Basic)[ \t]+)?[^\s&;,\"']+", re.IGNORECASE)
_OF_LINE_IN_STRING = re.compile(r'(?:[^"\\\r\n]|\\[^nr])+')
_OF_PAIR_IN_STRING = re.compile(
    r"(?:(?:Bearer|Basic)[ \t]+)?(?:'[^'\"\\]*'|(?:[^\s&;,\"'\\]|\\[^nrt])+)", re.IGNORECASE
)
_BARE = {
    (False, ":"): _OF_LINE,
    (False, "="): _OF_PAIR,
    (True, ":"): _OF_LINE_IN_STRING,
    (True, "="): _OF_PAIR_IN_STRING,
}
"""A value after a name without quotes, by whether that is in a string of JSON, and by the sign."""
_AFTER = r"{0,64}(?P<quote>\\{0,64}[\"'])?[ \t\r\n]{0,64}(?P<sign>=>?|:)[ \t\r\n]{0,64}"
"""From the word to the value, after what a letter of a name may be: the rest of the name, its quote, and a sign."""
_ESCAPE = "\\u00"
_ESCAPED_LETTER = r"\\{1,8}u00(?:2[de]|3\d|[46][1-9a-f]|[57][\da]|5f)"
"""A letter, digit, _, - or . as an escape of JSON, or of JSON inside a text of JSON."""

Fill = Callable[[str], str]
"""Makes the text that replaces a value."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def same_length(value: str) -> str:
    """Asterisks, as many as the value has characters."""
    return "*" * len(value)


def short(_: str) -> str:
    """The same for each value, so that its length is not shown either."""
    return MASK


class _Finder(NamedTuple):
    """Finds a word, and a name with a word in it up to its value."""

    word: re.Pattern[str]
    place: re.Pattern[str]


class Masking:
    """Masks the values of names that contain one of WORDS or of `more`. `_` in a word stands for -, _ or nothing."""

    def __init__(self, more: Sequence[str] = ()) -> None:
        words = [*WORDS, *filter(None, map(str.strip, more))]
        plain = "|".join(re.escape(word.lower()).replace("_", "[_-]?") for word in words)
        self._plain = _finder_of(plain, r"[\w.-]")
        self._escaped = _finder_of("|".join(map(_escapable, words)), rf"(?:[\w.-]|{_ESCAPED_LETTER})")

    def json(self, body: bytes) -> bytes:
        """The body of an answer. One that has nothing to mask stays as it is."""
        if self._word_in(body.decode("utf-8", "replace")) is None and _ALWAYS.encode() not in body:
            return body
        return _encode(self._value(_decode(body)))

    def text(self, text: str, fill: Fill = short) -> str:
        """A text: JSON, a part of it, or anything else."""
        is_json = _JSON_BEGINS.match(text) is not None
        pieces, at, place = [], 0, self._finder(text).place
        while (found := place.search(text, at)) is not None:
            begin, end, is_bare = _span(text, found, in_string=is_json and found["quote"] is None)
            value = fill(text[begin:end]) if end > begin else ""
            pieces += [text[at:begin], f'"{value}"' if value and is_bare and fill is short else value]
            at = end
        return "".join([*pieces, text[at:]]) if pieces else text

    async def log(self, pieces: AsyncIterator[bytes], lead: int = 0) -> AsyncIterator[bytes]:
        """The pieces of a log. Each byte of a secret becomes an asterisk, so that positions stay true.

        An unfinished line is held back while a word in it may begin a secret. The first `lead` bytes, which have the
        beginning of the line, are not shown.
        """
        masked = LogMask(self)
        async for piece in pieces:
            shown = masked.feed(piece)
            yield shown[lead:]
            lead = max(0, lead - len(shown))
        yield masked.rest()[lead:]

    def in_log(self, lines: bytes) -> bytes:
        """Lines of a log, of the same length. Each is masked alone."""
        text = lines.decode("latin-1")
        if self._word_in(text) is None:
            return lines
        return "\n".join(self.text(line, same_length) for line in text.split("\n")).encode("latin-1")

    def has_word(self, text: bytes) -> bool:
        """Whether one of the words occurs."""
        return self._word_in(text.decode("latin-1")) is not None

    def _finder(self, text: str) -> "_Finder":
        """What finds a word in this text: JSON may have any of its letters as an escape."""
        return self._escaped if _ESCAPE in text else self._plain

    def _word_in(self, text: str) -> re.Match[str] | None:
        return self._finder(text).word.search(text)

    def _value(self, value: Any) -> Any:
        """A value of an answer. The answers' own structure is flat: depth comes only inside of texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {name: self._field(name, inner) for name, inner in value.items()}
        return value

    def _field(self, name: str, value: Any) -> Any:
        if name == _ALWAYS and isinstance(value, dict):
            return dict.fromkeys(value, MASK)
        if value is not None and not isinstance(value, bool) and self._word_in(name):
            return MASK
        return self._value(value)


class LogMask:
    """Masks a log that comes in pieces; `held` is what it has not yet returned."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self.held = b""

    def feed(self, piece: bytes) -> bytes:
        """Take a piece, b"" when nothing new came; what can be shown now."""
        text = self.held + piece
        end = text.rfind(b"\n") + 1
        if not piece and not self._masking.has_word(text):
            end = len(text)
        if len(text) - end > HELD_BYTES:
            end = len(text)
        self.held = text[end:]
        return self._masking.in_log(text[:end])

    def rest(self) -> bytes:
        """What is held, at the end of the log."""
        text, self.held = self.held, b""
        return self._masking.in_log(text)


def _finder_of(words: str, letter: str) -> _Finder:
    """A finder of these alternatives. `letter`: what a letter of a name may be."""
    word = re.compile(words, re.IGNORECASE | re.ASCII)
    return _Finder(word, re.compile(f"(?:{words}){letter}{_AFTER}", re.IGNORECASE))


def _escapable(word: str) -> str:
    """The pattern of a word, each of whose letters may be an escape."""
    letters = []
    for letter in word.lower():
        forms = {letter, letter.upper()} if letter != "_" else {"_", "-"}
        codes = "|".join(sorted(f"{ord(form):02x}" for form in forms))
        plain = "|".join(sorted(map(re.escape, forms)))
        letters.append(rf"(?:{plain}|\\{{1,8}}u00(?:{codes}))" + "?" * (letter == "_"))
    return "".join(letters)


def _span(text: str, found: re.Match[str], *, in_string: bool) -> tuple[int, int, bool]:
    """Where the value after a name begins and ends, without quotes, and whether a text in its place needs them."""
    at = found.end()
    first = text[at : at + 1]
    if first == "\\" and (nested := _nested(text, at)) is not None:
        return (*nested, False)
    if not in_string and first in {'"', "'"}:
        return (*_inside(text, at, (_STRING if first == '"' else _SINGLE).match(text, at)), False)
    if not in_string and first in {"[", "{"}:
        return at, _bracket_end(text, at), True
    is_bare = found["quote"] is not None
    rest = (_OF_JSON if is_bare else _BARE[in_string, found["sign"][0]]).match(text, at)
    return at, rest.end() if rest is not None else at, is_bare


def _inside(text: str, at: int, string: re.Match[str] | None) -> tuple[int, int]:
    """A quoted value without its quotes. The last one is missing where the text is cut off."""
    end = string.end() if string is not None else len(text)
    is_closed = end - at > 1 and text[end - 1] == text[at]
    return at + 1, end - 1 if is_closed else end


def _nested(text: str, at: int) -> tuple[int, int] | None:
    r"""A value in JSON that is itself in a string: it begins with \" and ends with the same, or with the string."""
    quote = _ESCAPED.match(text, at)
    if quote is None:
        return None
    end = re.compile(rf"(?<!\\)\\{{0,{len(quote[0]) - 1}}}{quote[0][-1]}").search(text, quote.end())
    return quote.end(), end.start() if end is not None else len(text)


def _bracket_end(text: str, at: int) -> int:
    """The end of the object or list that begins here, or of the text."""
    depth = 0
    for step in _STEP.finditer(text, at):
        if step[0] in {"[", "{"}:
            depth += 1
        elif step[0] in {"]", "}"}:
            depth -= 1
            if depth == 0:
                return step.end()
    return len(text)
