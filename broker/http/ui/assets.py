"""The files of the pages and of the tutorial.

They are read once, stripped and compressed once, and named by the hash of them all. A file under a hash never changes.
"""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

SHELL = "index.html"
TUTORIAL = "tutorial"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "webp": "image/webp",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_STRIPPED = (".css", ".js")
_HASH_LENGTH = 16
_QUOTED_BACKTICK = "'`'"


class Asset(NamedTuple):
    """One file: its media type, its bytes, and the same compressed; b"" for a picture, which is compressed already."""

    content_type: str
    content: bytes
    gzipped: bytes


class Assets(NamedTuple):
    """All files by their path below `static/`; those of the tutorial begin with `tutorial/`.

    `version` is the hash of them; `shell` is the text of the page.
    """

    version: str
    shell: str
    files: dict[str, Asset]


@cache
def assets() -> Assets:
    """The files of the package. They are read at the first call; raises OSError."""
    package = files("broker.http.ui")
    found = dict(sorted([*_read(package / "static"), *_read(package / TUTORIAL, f"{TUTORIAL}/")]))
    shell = found.pop(SHELL).decode()
    for name in [name for name in found if name.endswith(_STRIPPED)]:
        found[name] = stripped(name, found[name].decode()).encode()
    digest = hashlib.sha256()
    for name, content in found.items():
        digest.update(b"%b %d %b" % (name.encode(), len(content), content))
    return Assets(digest.hexdigest()[:_HASH_LENGTH], shell, {name: _asset(name, found[name]) for name in found})


def stripped(name: str, text: str) -> str:
    """A script or a style without its indentation, its empty lines, and the comments that have lines of their own.

    A script with a template literal over several lines stays as it is, since blanks count there.
    """
    is_script = name.endswith(".js")
    if not name.endswith(_STRIPPED) or (is_script and _has_long_template(text)):
        return text
    kept, in_comment = [], False
    for line in text.splitlines():
        code = line.strip()
        if in_comment or code.startswith("/*"):
            _, end, code = code.partition("*/")
            in_comment = not end
        if code and not (is_script and code.startswith("//")):
            kept.append(code.lstrip())
    return "\n".join([*kept, ""])


def _has_long_template(text: str) -> bool:
    """Whether a line has a backtick without its other one; text.split('`') has none that counts."""
    return any(line.replace(_QUOTED_BACKTICK, "").count("`") % 2 for line in text.splitlines())


def _read(folder: Traversable, before: str = "") -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        name = before + entry.name
        if entry.is_dir():
            found += _read(entry, f"{name}/")
        elif name == SHELL or name.rpartition(".")[2] in _TYPES:
            found.append((name, entry.read_bytes()))
    return found


def _asset(name: str, content: bytes) -> Asset:
    ending = name.rpartition(".")[2]
    return Asset(_TYPES[ending], content, b"" if ending == "webp" else gzip.compress(content, 9, mtime=0))
