"""The token file. It has the SHA-256, the scopes and the groups of each token, never a token itself.

A file whose name ends in .toml is TOML, with `[[token]]` tables. Any other file has one token a line:

    SHA256 SCOPES GROUPS [expires=TIME] NAME      with commas between scopes and between groups; `#` begins a comment
"""

import hashlib
import os
import re
import secrets
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from broker.core import timestamps

Scope = Literal["produce", "consume", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
EVERY_GROUP = "*"

Kind = TypeVar("Kind")

_END = r"(?![\s\S])"
_PREFIX = "titan_"
_RANDOM_BYTES = 32
_EXPIRES = "expires="
_COMMENT = re.compile(r"(^|\s)#.*")

GroupPattern = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_*-]{1,128}" + _END)]
"""The name of a group, or a pattern of names: `*` stands for any number of characters."""


class TokensUnreadable(ValueError):
    """A token file that cannot be used. The text gives the position, and shows nothing from the file."""


class Token(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry. The scope `admin` includes all others. `name` is for people."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}" + _END)]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    groups: Annotated[tuple[GroupPattern, ...], Meta(min_length=1)] = (EVERY_GROUP,)
    name: Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f\"\\#]*" + _END)] = ""
    expires: Annotated[str, Meta(description="RFC 3339; empty: never.")] = ""

    def __post_init__(self) -> None:
        """Raise ValueError for a text that is not a time."""
        if self.expires:
            try:
                timestamps.milliseconds(self.expires)
            except ValueError:
                raise ValueError("expires") from None


class _TokenFile(Struct, frozen=True, forbid_unknown_fields=True):
    token: tuple[Token, ...] = ()


def new_token(scopes: Sequence[Scope], groups: Sequence[str], name: str, expires: str = "") -> tuple[str, Token]:
    """A token of 256 random bits, and its entry. `expires` is RFC 3339, '' for never.

    Raises TokensUnreadable for an invalid scope, group or name.
    """
    secret = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    values = {"sha256": digest(secret).hex(), "scopes": scopes, "groups": groups, "name": name, "expires": expires}
    return secret, _checked(values, "The token's", Token)


def digest(secret: str) -> bytes:
    """The SHA-256 of a token, 32 bytes. Tokens are random, so a slower digest is not needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The entries of a file; at least one. Raises TokensUnreadable."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TokensUnreadable(f"The tokens in {path} cannot be read: {reason}.") from None
    tokens = _parse_toml(text, path) if _is_toml(path) else _parse_lines(text, path)
    if not tokens:
        raise TokensUnreadable(f"There is no token in {path}.")
    return tokens


def add_token(path: Path, token: Token) -> None:
    """Append an entry to a file, in the format of the file. Only its owner can read a new file. Raises OSError."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        if is_new:
            path.chmod(0o600)
        file.write(entry(token, is_toml=_is_toml(path)))


def remove_token(path: Path, sha256: str) -> None:
    """Remove the entries with this digest; the rest of the file, and who may read it, stay. Raises OSError."""
    text = path.read_text("utf-8")
    if _is_toml(path):
        kept = [part for part in re.split(r"(?m)^(?=\[\[token\]\])", text) if sha256 not in part]
    else:
        kept = [line for line in text.splitlines(keepends=True) if line.split(None, 1)[:1] != [sha256]]
    part = path.with_name(f".{path.name}.part")
    found = path.stat()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(kept))
        if (part.stat().st_uid, part.stat().st_gid) != (found.st_uid, found.st_gid):
            os.chown(part, found.st_uid, found.st_gid)
        part.chmod(found.st_mode & 0o777)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def entry(token: Token, *, is_toml: bool) -> str:
    """The text of an entry in a file, with its newline."""
    if not is_toml:
        words = [token.sha256, ",".join(token.scopes), ",".join(token.groups)]
        words += [f"{_EXPIRES}{token.expires}"] if token.expires else []
        return " ".join([*words, token.name]).rstrip() + "\n"
    rows = {"name": token.name, "sha256": token.sha256, "scopes": list(token.scopes), "groups": list(token.groups)}
    rows |= {"expires": token.expires}
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in rows.items() if value]
    return "\n".join(["[[token]]", *lines, "", ""])


def _is_toml(path: Path) -> bool:
    return path.suffix == ".toml"


def _parse_toml(text: str, path: Path) -> tuple[Token, ...]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"at line \d+|at end of document", str(error))
        raise TokensUnreadable(f"{path} is not TOML, {where[0] if where else 'somewhere'}.") from None
    return _checked(tables, f"In {path}:", _TokenFile).token


def _parse_lines(text: str, path: Path) -> tuple[Token, ...]:
    lines = ((number, _COMMENT.sub("", line).split(None, 3)) for number, line in enumerate(text.splitlines(), 1))
    return tuple(_parse_line(words, f"In line {number} of {path}:") for number, words in lines if words)


def _parse_line(words: list[str], where: str) -> Token:
    if len(words) < 3:
        raise TokensUnreadable(f"{where} a token needs SHA256 SCOPES GROUPS, and may have a NAME.")
    sha256, scopes, groups, *rest = words
    name, expires = "".join(rest).strip(), ""
    if name.startswith(_EXPIRES):
        expires, _, name = name.removeprefix(_EXPIRES).partition(" ")
    values = {"sha256": sha256, "scopes": scopes.split(","), "groups": groups.split(","), "name": name.strip()}
    return _checked(values | {"expires": expires}, where, Token)


def _checked(values: dict[str, Any], where: str, kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        found = re.search(r"`\$?\.?([^`]*)`$", str(error))
        field = "expires" if str(error).startswith("expires") else found[1] if found else ""
        raise TokensUnreadable(f"{where} {_expected(field)}") from None


def _expected(path: str) -> str:
    """What the field at a path of an entry must contain. The value itself is not shown: it may be a token."""
    for name, text in {
        "sha256": "sha256 must be 64 hexadecimal digits, the digest of a token: `titan token new` makes both.",
        "scopes": f"scopes must be some of {', '.join(SCOPES)}.",
        "groups": "groups must be names of groups, in which * means any characters.",
        "expires": "expires must be a time, RFC 3339, such as 2027-01-31T12:00:00Z.",
        "name": 'name may have 128 characters, no control characters, and none of " \\ #.',
    }.items():
        if name in path:
            return text
    return "an entry has sha256, scopes, groups, expires and name, and nothing else."
